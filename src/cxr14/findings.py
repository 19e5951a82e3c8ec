"""The fourteen findings: names, order, other spellings. The one place that knows them.

Source: Wang et al. 2017, "ChestX-ray8" (arXiv 1705.02315v5), and the shipped table
``Data_Entry_2017_v2020.csv``, whose spelling is used throughout.
"""

from collections.abc import Iterable
from typing import Final

from cxr14.errors import UserError, quote

CHESTXRAY8: Final = (
    "Atelectasis",
    "Cardiomegaly",
    "Effusion",
    "Infiltration",
    "Mass",
    "Nodule",
    "Pneumonia",
    "Pneumothorax",
)
"""The eight findings of ChestX-ray8, in the order of the paper's tables."""

FINDINGS: Final = (
    *CHESTXRAY8,
    "Consolidation",
    "Edema",
    "Emphysema",
    "Fibrosis",
    "Pleural_Thickening",
    "Hernia",
)
"""The fourteen findings of ChestX-ray14, in the order of the paper's supplement."""

BOXED: Final = CHESTXRAY8
"""The findings with hand-drawn boxes (984 boxes on 880 images)."""

NO_FINDING: Final = "No Finding"
"""The fifteenth class: none of the fourteen was mined. It does not mean a normal chest."""

CLASSES: Final = (*FINDINGS, NO_FINDING)
"""What a network predicts, in the order of its outputs; `data.findings` may leave some out."""

NO_FINDING_COLUMN: Final = "no_finding"
LABEL_COLUMNS: Final = (*FINDINGS, NO_FINDING_COLUMN)
"""The label columns of data/records/images.parquet, in the order of CLASSES."""

OTHER_SPELLINGS: Final = {
    "Infiltrate": "Infiltration",  # BBox_List_2017.csv
    "Pleural Thickening": "Pleural_Thickening",
    "PT": "Pleural_Thickening",  # the paper's abbreviation
}


def canonical(name: str) -> str:
    """Return the standard spelling of a finding (or of No Finding).

    Raises:
        UserError: the name is none of the fifteen, in any known spelling.
    """
    stripped = name.strip()
    spelled = OTHER_SPELLINGS.get(stripped, stripped)
    if spelled not in CLASSES:
        raise UserError(f"unknown finding {quote(name)}; known: {', '.join(CLASSES)}")
    return spelled


def without_no_finding(classes: Iterable[str]) -> list[str]:
    """Return those of the classes that are findings: macro means are over these."""
    return [name for name in classes if name != NO_FINDING]
