"""Names of findings and of backbones: order, other spellings, and label matrices.

Source: Wang et al. 2017, "ChestX-ray8" (arXiv 1705.02315v5), and the shipped table
``Data_Entry_2017_v2020.csv``, whose spelling is used throughout.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from cxr14.errors import UserError, quote

if TYPE_CHECKING:  # params are read before NumPy is imported, see cxr14.numerics
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

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
"""The findings with ground-truth boxes (984 boxes on 880 images)."""

NO_FINDING: Final = "No Finding"
"""The fifteenth class: none of the fourteen findings. The chest may still be abnormal."""

CLASSES: Final = (*FINDINGS, NO_FINDING)
"""The classes in the order of a network's outputs; `data.findings` selects from them."""

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
    """Return the classes that are findings; macro means are over these."""
    return [name for name in classes if name != NO_FINDING]


# Label texts of NIH's tables, ``Mass|Nodule``. Each of the 836 different texts is parsed once.
# Tables of other sets also write ``Mass|Edema?`` and ``Other``.

UNKNOWN: Final = -1
"""Label of a class that an image may or may not have: no loss and no metric counts it."""

UNKNOWN_MARK: Final = "?"
"""End of the name of a class with an unknown label."""

OTHER: Final = "Other"
"""Any finding but the fourteen: the image has none of these, and is not No Finding either."""

ALLOWED = (
    f"{', '.join(CLASSES)}; several are joined by |, and {NO_FINDING} stands alone "
    f"({UNKNOWN_MARK} after a name: unknown; {OTHER}: a finding that is none of these)"
)


def parse_labels(text: str) -> dict[str, int]:
    """Return the labels that are not 0 of a text such as ``Mass|Edema?``: 1 or UNKNOWN by class.

    Raises:
        UserError: a name is not known, No Finding stands beside a finding, or a class is both
            present and unknown.
    """
    labels: dict[str, int] = {}
    for part in (part.strip() for part in text.split("|")):
        unknown = part.endswith(UNKNOWN_MARK)
        name = part if part == OTHER else canonical(part.removesuffix(UNKNOWN_MARK))
        if labels.setdefault(name, UNKNOWN if unknown else 1) != (UNKNOWN if unknown else 1):
            raise UserError(f"{text!r} has {name} both as present and as unknown")
    present = [name for name, label in labels.items() if label == 1]
    if NO_FINDING in present and len(present) > 1:
        raise UserError(f"{text!r} is {NO_FINDING} and a finding")
    return labels


def label_text(labels: Mapping[str, int]) -> str:
    """Return the text of which :func:`parse_labels` reads the labels, in the order of CLASSES."""
    marks = {1: "", UNKNOWN: UNKNOWN_MARK}
    names = [name for name in (*CLASSES, OTHER) if labels.get(name, 0)]
    parts = [f"{name}{marks[labels[name]]}" for name in names]
    return "|".join(parts) or OTHER


def names_of(text: str) -> list[str]:
    """Return the classes that ``Mass|Nodule`` names as present, in the order of CLASSES.

    Raises:
        UserError: see :func:`parse_labels`.
    """
    labels = parse_labels(text)
    return [name for name in CLASSES if labels.get(name) == 1]


def readable(texts: "pd.Series") -> "pd.Series":
    """Return the mask of the texts that :func:`names_of` can parse; bool (N,)."""
    return texts.isin([text for text in texts.unique() if _is_readable(text)])


def _is_readable(text: str) -> bool:
    try:
        parse_labels(text)
    except ValueError:
        return False
    return True


def respelled(texts: "pd.Series") -> "pd.Series":
    """Return the mask of N texts with another spelling, spaces or a repeated name; bool (N,)."""
    distinct = texts.unique()
    standard = {text: label_text(parse_labels(text)) for text in distinct}
    other = [t for t in distinct if sorted(standard[t].split("|")) != sorted(t.split("|"))]
    return texts.isin(other)


def multi_hot(texts: "pd.Series") -> "npt.NDArray[np.uint8 | np.int8]":
    """Return the label matrix of N readable texts (N, 15), in the order of CLASSES.

    It is uint8 of 0 and 1, and int8 if a label is UNKNOWN.
    """
    import numpy as np
    import pandas as pd

    codes, distinct = pd.factorize(texts)
    hot = np.zeros((len(distinct), len(CLASSES)), np.int8)
    for row, text in enumerate(distinct):
        labels = parse_labels(text)
        hot[row] = [labels.get(name, 0) for name in CLASSES]
    return (hot if (hot == UNKNOWN).any() else hot.astype(np.uint8))[codes]


MORE_POSITIVES = "raise split.val_fraction, change split.seed, or add images"
"""The fix if val lacks positives; these keys also define val for the official lists."""


def label_matrix(
    images: "pd.DataFrame", classes: Sequence[str] = CLASSES
) -> "npt.NDArray[np.float32]":
    """Return the labels of a table of N images as float32 (N, C), a column per class.

    They are 0, 1 or UNKNOWN. An image with none of the classes is a row of zeros.
    """
    columns = [LABEL_COLUMNS[CLASSES.index(name)] for name in classes]
    return images[columns].to_numpy("float32")


# Names of backbones become parts of paths, commands and keys, so their characters are checked here:
# DVC would read a dot as the border of two keys. cxr14.models.backbones checks that torchvision or
# timm has the network.

STUDIED: Final = ("alexnet", "googlenet", "vgg16", "resnet50", "densenet121")
"""The default backbones."""

TIMM: Final = "timm:"
"""Prefix of the names of timm's networks."""

NAME: Final = re.compile(rf"(?:{TIMM})?[A-Za-z0-9_]{{1,64}}")


def check_name(name: str) -> str:
    """Return the name of a backbone if it has the form of torchvision's, or of timm:NAME.

    Raises:
        UserError: it is empty, longer than 64 characters, or has other characters than letters,
            digits and _.
    """
    if not NAME.fullmatch(name):
        raise UserError(
            f"{quote(name)} is not the name of a backbone; allowed are torchvision's names, of "
            f"letters, digits and _, such as densenet121, and {TIMM}NAME (without a .tag)"
        )
    return name
