"""A manifest with all that had to be said about its images, so that nothing is dropped silently."""

from dataclasses import asdict, dataclass
from pathlib import PurePosixPath

import pandas as pd

from cxr14.data.archives.reading import MANIFEST_COLUMNS, check_manifest, place
from cxr14.data.archives.refusals import Refusal
from cxr14.data.issues import issue_table

ODDITY_COLUMNS = ("oddity", "image", "container", "member", "reason")


@dataclass(frozen=True)
class Listing:
    """The images of a source.

    Attributes:
        manifest: one row per image, sorted by image; columns MANIFEST_COLUMNS.
        oddities: one row per member that is worth a look, columns ODDITY_COLUMNS; `oddity` is
            "refused" (not taken; image is empty), "repeated" (not taken: the same content under
            the same image name as the one that was) or "same content" (taken, though another
            image of the manifest has the very same content).
    """

    manifest: pd.DataFrame
    oddities: pd.DataFrame

    @property
    def issues(self) -> pd.DataFrame:
        """The same as a table of issues, see cxr14.data.issues."""
        odd = self.oddities
        actions = odd.oddity.map({"same content": "kept"}).fillna("skipped")
        rows = zip(odd.container, odd.member, odd.oddity, actions, odd.reason, strict=True)
        return issue_table("download", rows)

    def counts(self) -> dict[str, int]:
        """Count the oddities, and the images whose file has another name than the table says."""
        kinds = self.oddities.oddity.value_counts()
        names = [PurePosixPath(member).name for member in self.manifest.member]
        return {
            "refused_members": int(kinds.get("refused", 0)),
            "repeated_images": int(kinds.get("repeated", 0)),
            "images_of_same_content": int(kinds.get("same content", 0)),
            "images_of_other_extension": int((self.manifest.image != names).sum()),
        }


def settle(rows: list[dict[str, object]], refusals: list[Refusal]) -> Listing:
    """Make a listing of what a pass over the containers found; of repeated images the first stays.

    Raises:
        UserError: one image name stands for contents that differ.
    """
    found = pd.DataFrame(rows, columns=list(MANIFEST_COLUMNS))
    check_manifest(found)
    again = found.image.duplicated()
    kept = found[~again].sort_values("image", ignore_index=True)
    refused = pd.DataFrame([asdict(one) for one in refusals], columns=list(ODDITY_COLUMNS))
    parts = [
        refused.assign(oddity="refused", image=""),
        _repeated(found[again], kept),
        _alike(kept),
    ]
    oddities = pd.concat(parts, ignore_index=True).astype("str")
    order = ["oddity", "image", "container", "member"]
    return Listing(kept, oddities.sort_values(order, ignore_index=True, kind="stable"))


def _repeated(again: pd.DataFrame, kept: pd.DataFrame) -> pd.DataFrame:
    first = kept.set_index("image").loc[again.image]
    reasons = [
        f"the same as {where}, which is taken"
        for where in map(place, first.container, first.member)
    ]
    return again.assign(oddity="repeated", reason=reasons)[list(ODDITY_COLUMNS)]


def _alike(kept: pd.DataFrame) -> pd.DataFrame:
    alike = kept[kept.sha256.duplicated(keep=False)]
    reasons = [f"sha256 {digest}" for digest in alike.sha256]
    return alike.assign(oddity="same content", reason=reasons)[list(ODDITY_COLUMNS)]
