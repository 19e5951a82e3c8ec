"""What rows and measures are called in the tables of ``compare``, for whoever reads them."""

from typing import Final

MACRO: Final = "macro"
"""The row of the mean over findings."""

CALIBRATION: Final = "mean_predicted_minus_prevalence"
MEASURES: Final = ("auroc", "fpr", "fnr", CALIBRATION)
