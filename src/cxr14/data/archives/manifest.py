"""A manifest with the data issues of its images, so that nothing is dropped silently."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

import pandas as pd

from cxr14.data.archives.reading import MANIFEST_COLUMNS, check_manifest, place
from cxr14.data.archives.refusals import TABLE_NOT_READ, Issue
from cxr14.data.issues import issue_table


@dataclass(frozen=True)
class Listing:
    """The images of a source.

    Attributes:
        manifest: one row per image, sorted by image; columns MANIFEST_COLUMNS.
        issues: files and members that were not taken or look odd, columns ISSUE_COLUMNS of
            cxr14.data.issues; kinds are those of UNUSABLE there and, among others, "repeated"
            (skipped: same image name and content as one that is taken), "same content" (kept:
            another image has the same content) and "other name" (kept: a .jpg, say, listed
            under the table's name).
    """

    manifest: pd.DataFrame
    issues: pd.DataFrame

    def counts(self) -> dict[str, int]:
        """Count the issues, and the images whose file has another name than the table says."""
        kinds = self.issues.issue.value_counts()
        skipped = self.issues[self.issues.action == "skipped"]
        return {
            "refused_members": int((~skipped.issue.isin(["repeated", TABLE_NOT_READ])).sum()),
            "repeated_images": int(kinds.get("repeated", 0)),
            "images_of_same_content": int(kinds.get("same content", 0)),
            "images_of_other_extension": int(kinds.get("other name", 0)),
        }


def make_listing(rows: list[dict[str, object]], issues: list[Issue]) -> Listing:
    """Return the listing of what a pass over the containers found; of repeated images the first.

    Raises:
        UserError: one image name stands for contents that differ.
    """
    all_rows = pd.DataFrame(rows, columns=list(MANIFEST_COLUMNS))
    check_manifest(all_rows)
    again = all_rows.image.duplicated()
    kept = all_rows[~again].sort_values("image", ignore_index=True)
    more = [*_repeated(all_rows[again], kept), *_same_content(kept), *_other_suffix(kept)]
    table = issue_table("download", [*issues, *more])
    order = ["issue", "file", "name"]
    return Listing(kept, table.sort_values(order, ignore_index=True, kind="stable"))


def _repeated(again: pd.DataFrame, kept: pd.DataFrame) -> Iterator[Issue]:
    first = kept.set_index("image").loc[again.image]
    places = map(place, first.container, first.member)
    for container, member, where in zip(again.container, again.member, places, strict=True):
        detail = f"the same as {where}, which is taken"
        yield Issue(container, member, "repeated", "skipped", detail)


def _same_content(kept: pd.DataFrame) -> Iterator[Issue]:
    alike = kept[kept.sha256.duplicated(keep=False)]
    for container, member, digest in zip(alike.container, alike.member, alike.sha256, strict=True):
        yield Issue(container, member, "same content", "kept", f"sha256 {digest}")


def _other_suffix(kept: pd.DataFrame) -> Iterator[Issue]:
    for image, container, member in zip(kept.image, kept.container, kept.member, strict=True):
        if PurePosixPath(member).name != image:
            yield Issue(container, member, "other name", "kept", f"listed as {image}")
