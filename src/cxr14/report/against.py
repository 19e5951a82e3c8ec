"""Section of the page that puts ours beside published figures, on real pixels only."""

from cxr14.findings import CHESTXRAY8
from cxr14.report import markup
from cxr14.report.beside import (
    auroc_header,
    auroc_rows,
    comparable,
    heading,
    own_split,
    part_of_official,
    same_split,
)
from cxr14.report.cells import one, scored, spaced
from cxr14.report.markup import Section
from cxr14.report.published import CHESTXRAY8_NETWORKS, CLASSIFICATION
from cxr14.report.results import Results
from cxr14.wording import NOT_TRAINED, shown


def published_section(results: Results) -> Section | None:
    """Ours beside the published columns; None on phantoms."""
    if results.phantom:
        return None
    how = (
        "Only columns of the same split can be held against ours; those marked OTHER SPLIT are "
        "over other images, and a random split is easier than the official one. The sources are "
        "listed at the end of the section."
    )
    columns = comparable(results.source, CLASSIFICATION)
    marks = ["published" if same_split(results.source, c) else "other" for c in columns]
    body = auroc_rows(results)
    means = [""] * (len(body) - 1) + ["mean"]
    caption = (
        "AUROC; ours with its 95 % interval. Published means are over the findings that ours "
        f"could score. {part_of_official(results)}"
    )
    sources = [f"{one.name}: {one.source}" for one in columns]
    parts = (
        markup.table(auroc_header(results), body, caption.strip(), means, ["", "", "", *marks]),
        markup.subtitle("The eight findings of ChestX-ray8"),
        _chestxray8(results),
        markup.folded("Sources", *map(markup.paragraph, sources)),
    )
    return Section("published", "Beside published figures", how, parts)


def _chestxray8(results: Results) -> str:
    columns = comparable(results.source, CHESTXRAY8_NETWORKS)
    header = (
        "finding",
        *(f"{name} (ours)\n{own_split(results)}" for name in results.backbones),
        *(heading(results.source, column) for column in columns),
    )
    body = []
    for name in CHESTXRAY8:
        rows = [one(results.of("findings", b), {"finding": name}) for b in results.backbones]
        own = (scored(row, "auroc") if row else NOT_TRAINED for row in rows)
        body.append((spaced(name), *own, *(shown(column.auroc[name]) for column in columns)))
    marks = ["", *[""] * len(results.backbones), *["other"] * len(columns)]
    caption = (
        f"AUROC. Columns marked OTHER SPLIT: {columns[0].source}, random 70/10/20 split; W-CEL and "
        "CEL: cross entropy with and without weights."
    )
    return markup.table(header, body, caption, columns=marks)
