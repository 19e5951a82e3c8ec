"""Published results, each with its source, split and number of images.

:func:`comparable` is the only access for tables: none on phantoms, columns of our split first.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, TypeVar

from cxr14.console import MISSING, NOT_TRAINED, format_number, is_missing
from cxr14.datasets.records import Source
from cxr14.errors import UserError
from cxr14.labels import BOXED, CHESTXRAY8, FINDINGS
from cxr14.report.elements import count, rows_of, scored, spaced
from cxr14.report.summary import Results

OFFICIAL, RANDOM, EXPERT = "official", "random", "expert"
SPLITS: Final = MappingProxyType(
    {OFFICIAL: "official split", RANDOM: "random split", EXPERT: "read by experts"}
)
"""Names of the splits. A random split is easier than the official one: a public model scores .838
on its random test split, and .818 on the images of it that are in the official test split.
"""
OFFICIAL_TEST_IMAGES: Final = 25_596

WANG: Final = "Wang et al. 2017, ChestX-ray8, arXiv 1705.02315v5"


@dataclass(frozen=True)
class Column:
    """AUROC by finding of one published network; ``images`` of its test split, None if unknown."""

    name: str
    source: str
    split: str
    images: int | None
    auroc: dict[str, float]


@dataclass(frozen=True)
class BoxTable:
    """Published localization by T, in the order of BOXED; ``afp`` is empty if not reported."""

    name: str
    source: str
    split: str
    pairs: int
    measure: str  # iobb or iou
    accuracy: dict[float, tuple[float, ...]]
    afp: dict[float, tuple[float, ...]]


def _column(name: str, source: str, split: str, images: int | None, values: str) -> Column:
    numbers = map(float, values.split())
    return Column(name, source, split, images, dict(zip(FINDINGS, numbers, strict=True)))


def _of_chestxray8(name: str, values: str) -> Column:
    numbers = dict(zip(CHESTXRAY8, map(float, values.split()), strict=True))
    return Column(name, f"{WANG}, AUC of ChestX-ray8", RANDOM, None, numbers)


def _by_limit(text: str) -> dict[float, tuple[float, ...]]:
    """Read lines of T and eight values."""
    rows = [tuple(map(float, line.split())) for line in text.strip().splitlines()]
    if any(len(row) != 1 + len(BOXED) for row in rows):
        raise UserError(f"a line of published values is not T and {len(BOXED)} numbers")
    return {limit: tuple(values) for limit, *values in rows}


CLASSIFICATION: Final = (
    _column(
        "Wang ResNet50",
        f"{WANG}, supplement (14 findings)",
        OFFICIAL,
        OFFICIAL_TEST_IMAGES,
        ".7003 .8100 .7585 .6614 .6933 .6687 .6580 .7993 .7032 .8052 .8330 .7859 .6835 .8717",
    ),
    _column(
        "DenseNet121",
        # The mean printed with it is .807; these average .804, so one of them is misprinted.
        "as cited in the paper of AE-CNN",
        OFFICIAL,
        OFFICIAL_TEST_IMAGES,
        ".767 .883 .828 .709 .821 .758 .731 .846 .745 .835 .895 .818 .724 .896",
    ),
    _column(
        "AE-CNN",
        "the paper of AE-CNN",
        OFFICIAL,
        OFFICIAL_TEST_IMAGES,
        ".782 .901 .836 .709 .838 .788 .736 .868 .761 .850 .922 .840 .783 .924",
    ),
    _column(
        "SwinCheX",
        "Taslimi et al. 2022, SwinCheX, arXiv 2206.04246",
        OFFICIAL,
        OFFICIAL_TEST_IMAGES,
        ".781 .875 .824 .701 .822 .780 .713 .871 .748 .848 .914 .826 .778 .855",
    ),
    _column(
        "CheXNet",
        "Rajpurkar et al. 2017, CheXNet, arXiv 1711.05225",
        RANDOM,
        None,
        ".8094 .9248 .8638 .7345 .8676 .7802 .7680 .8887 .7901 .8878 .9371 .8047 .8062 .9164",
    ),
    _column(
        "CheXNeXt",
        "Rajpurkar et al. 2018, CheXNeXt, PLoS Medicine 15(11) e1002686",
        EXPERT,
        420,
        ".862 .831 .901 .721 .909 .894 .851 .944 .893 .924 .704 .806 .798 .851",
    ),
)
"""Fourteen findings, in the order of FINDINGS."""

CHESTXRAY8_NETWORKS: Final = (
    _of_chestxray8("AlexNet", ".6458 .6925 .6642 .6041 .5644 .6487 .5493 .7425"),
    _of_chestxray8("GoogLeNet", ".6307 .7056 .6876 .6088 .5363 .5579 .5990 .7824"),
    _of_chestxray8("VGG16", ".6281 .7084 .6502 .5896 .5103 .6556 .5100 .7516"),
    _of_chestxray8("ResNet50 W-CEL", ".7069 .8141 .7362 .6128 .5609 .7164 .6333 .7891"),
    _of_chestxray8("ResNet50 CEL", ".7064 .7262 .7351 .6084 .5530 .6545 .5164 .7665"),
)
"""Wang's networks on the eight findings of ChestX-ray8, random 70/10/20 split."""

BOXED_PAIRS: Final = 984
"""Ground-truth boxes of NIH, on 880 images."""

IOBB: Final = (
    BoxTable(
        "Wang, ChestX-ray14",
        f"{WANG}, supplement, table 19",
        OFFICIAL,
        BOXED_PAIRS,
        "iobb",
        _by_limit("""
            .10 .6222 1.000 .7974 .9106 .5882 .1519 .8583 .5204
            .25 .3944 .9863 .6339 .7967 .4588 .0506 .7083 .3367
            .50 .1944 .9452 .4183 .6504 .3058 .0000 .4833 .2653
            .75 .0889 .8151 .2287 .4390 .1647 .0000 .2917 .1735
            .90 .0722 .6507 .1373 .3577 .0941 .0000 .2333 .1224"""),
        _by_limit("""
            .10  .8293 .1768 .6148 .4919 .3933 .4685 .4360 .4543
            .25  .9319 .2042 .6880 .5447 .4288 .4786 .4959 .4857
            .50  .9979 .2785 .7652 .6006 .4604 .4827 .5630 .5030
            .75 1.0285 .4045 .8222 .6697 .4827 .4827 .6169 .5243
            .90 1.0356 .4837 .8445 .7043 .4939 .4827 .6331 .5346"""),
    ),
    BoxTable(
        "Wang, ChestX-ray8",
        f"{WANG}, table 4",
        RANDOM,
        BOXED_PAIRS,
        "iobb",
        _by_limit("""
            .10 .7277 .9931 .7124 .7886 .4352 .1645 .7500 .4591
            .25 .5500 .9794 .5424 .5772 .2823 .0506 .5583 .3469
            .50 .2833 .8767 .3333 .4227 .1411 .0126 .3833 .1836
            .75 .1666 .7260 .2418 .3252 .1176 .0126 .2583 .1020
            .90 .1333 .6849 .2091 .2520 .0588 .0126 .2416 .0816"""),
        _by_limit("""
            .10  .8323 .3506 .7998 .5589 .6423 .6047  .9055 .4776
            .25  .9167 .4553 .8598 .6077 .6707 .6158  .9614 .5000
            .50 1.0203 .5630 .9268 .6585 .6941 .6189 1.0132 .5285
            .75 1.0619 .6616 .9603 .6921 .7043 .6199 1.0569 .5396
            .90 1.0752 .7226 .9797 .7124 .7144 .6199 1.0732 .5437"""),
    ),
)
"""Accuracy and AFP at T(IoBB)."""

IOU: Final = (
    BoxTable(
        "Wang, ChestX-ray8",
        f"{WANG}, table 7",
        RANDOM,
        BOXED_PAIRS,
        "iou",
        _by_limit("""
            .10 .6888 .9383 .6601 .7073 .4000 .1392 .6333 .3775
            .20 .4722 .6849 .4509 .4796 .2588 .0506 .3500 .2346
            .30 .2444 .4589 .3006 .2764 .1529 .0379 .1666 .1326
            .40 .0944 .2808 .2026 .1219 .0705 .0126 .0750 .0714
            .50 .0500 .1780 .1111 .0650 .0117 .0126 .0333 .0306
            .60 .0222 .0753 .0457 .0243 .0000 .0126 .0166 .0306
            .70 .0055 .0273 .0196 .0000 .0000 .0000 .0083 .0204"""),
        {},
    ),
)
"""Accuracy at T(IoU)."""

AFP_CAVEAT: Final = (
    "The denominator of Wang's AFP is not stated: accuracy and AFP add up to less than 1 "
    "in places, which cannot happen under our definition (boxes that are no hit, over the boxed "
    "images of the finding); the two are not the same measure."
)


OURS: Final = "ours"

Published = TypeVar("Published", Column, BoxTable)


def comparable(source: Source, published: Sequence[Published]) -> list[Published]:
    """Return the published results to compare with: none on phantoms, else the same split first."""
    if source.phantom:
        return []
    return sorted(published, key=lambda table: not same_split(source, table))


def same_split(source: Source, published: Column | BoxTable) -> bool:
    """Whether a published result is on our split; only the official lists are shared."""
    return source.official_split and published.split == OFFICIAL


def split_text(source: Source, published: Column | BoxTable) -> str:
    """Return the split of a published result, marked if it is not ours."""
    images = published.images if isinstance(published, Column) else None
    known = f", {images:,} images" if images else ""
    mark = "" if same_split(source, published) else "OTHER SPLIT: "
    return f"{mark}{SPLITS[published.split]}{known}"


def heading(source: Source, published: Column | BoxTable) -> str:
    """Return the header of a published column: name, line break, split."""
    return f"{published.name}\n{split_text(source, published)}"


def split_name(results: Results) -> str:
    """Return the name of our split."""
    return SPLITS[OFFICIAL] if results.source.official_split else "our own split by patient"


def split_summary(results: Results) -> str:
    """Return the name of our split and the number of test images."""
    return f"{split_name(results)}, {results.evaluate[results.best]['images']:,} images"


def subset_note(results: Results) -> str:
    """Return a note if our test images are a subset of the official test split, else ''."""
    images = results.evaluate[results.best]["images"]
    if not results.source.official_split or images == OFFICIAL_TEST_IMAGES:
        return ""
    return (
        f"Ours are over {images:,} images of the official test split, the published columns of the "
        f"official split over all {OFFICIAL_TEST_IMAGES:,}."
    )


def auroc_header(results: Results) -> tuple[str, ...]:
    """Return the header of :func:`auroc_rows`."""
    columns = comparable(results.source, CLASSIFICATION)
    heading_of_ours = f"{results.best} ({OURS})\n{split_summary(results)}"
    return (
        "finding",
        "positives",
        heading_of_ours,
        *(heading(results.source, column) for column in columns),
    )


def auroc_rows(results: Results) -> list[tuple[str, ...]]:
    """Return rows of AUROC by finding, ours and published; the last row holds the means.

    Published means are over the findings that ours could score.
    """
    columns = comparable(results.source, CLASSIFICATION)
    row_of = {row["finding"]: row for row in rows_of(results.of("findings"))}
    rows = [
        (
            spaced(name),
            count(row_of[name]["positives"]) if name in row_of else MISSING,
            scored(row_of[name], "auroc") if name in row_of else NOT_TRAINED,
            *(format_number(column.auroc[name]) for column in columns),
        )
        for name in FINDINGS
    ]
    has_score = [n for n in FINDINGS if n in row_of and not is_missing(row_of[n]["auroc"])]
    mean = scored(results.evaluate[results.best], "macro_auroc")
    means = (format_number(mean_over(column, has_score)) for column in columns)
    return [*rows, (f"mean of {len(has_score)}", "", mean, *means)]


def mean_over(column: Column, findings: Sequence[str]) -> float | None:
    """Return the mean of a published column over findings; None without findings."""
    values = [column.auroc[name] for name in findings]
    return sum(values) / len(values) if values else None
