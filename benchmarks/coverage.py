"""Coverage of 95 % intervals in simulated studies with a known truth.

    python benchmarks/coverage.py                  (half a minute of one core)

Scores are normal, higher by d = 1 or 1.5 (AUROC .76, .86) where the finding is. A fifth of their
variance is common to the images of a patient, who has 1 to 4 of them. The truth is the average
precision, or AUROC, of infinitely many images of the same prevalence. Average precision has its
percentile interval (0 shifts) and the corrected ones (see cxr14.metrics.bootstrap.bias_corrected):
of single findings, of a macro mean of 14 findings, and of the difference of the macro means of two
networks.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import typer
from rich.console import Console
from rich.table import Table
from scipy.stats import norm

from cxr14.metrics.auroc import weighted_auroc_and_ap
from cxr14.metrics.bootstrap import Replicates, bias_corrected, draw_replicates, interval

SHIFTS = (0, 1, 2)
SINGLE = (10, 20, 40, 100)
"""Expected positive images of a single finding."""
FINDINGS = (40, 15, 35, 12, 14, 52, 24, 22, 25, 30, 11, 13, 15, 9)
"""Expected positive images of the findings of a macro mean, of 236 images."""
FEW_PATIENTS = (3, 5, 10, 20)
WITHIN = 0.2  # share of the variance that images of a patient have in common
SIZES = (1, 1, 1, 1, 2, 2, 3, 4)  # images of a patient

Floats = np.ndarray


@dataclass
class Tally:
    """Intervals so far: how many there were, hit the truth, or lay above it; their widths."""

    hits: list[bool] = field(default_factory=list)
    above: list[bool] = field(default_factory=list)
    widths: list[float] = field(default_factory=list)

    def add(self, low: float, high: float, truth: float) -> None:
        """Count one interval."""
        self.hits.append(low <= truth <= high)
        self.above.append(low > truth)
        self.widths.append(high - low)

    def cells(self) -> tuple[str, ...]:
        """Return coverage, the share of intervals above the truth, and their mean width."""
        return tuple(f"{np.mean(values):.3f}" for values in (self.hits, self.above, self.widths))


Tallies = defaultdict[tuple[str, int], Tally]


@cache
def average_precision(distance: float, prevalence: float) -> float:
    """Average precision of infinitely many images, by numerical integration."""
    threshold = np.linspace(-9, 9 + distance, 100_001)
    recall, false_rate = norm.sf(threshold - distance), norm.sf(threshold)
    precision = prevalence * recall / (prevalence * recall + (1 - prevalence) * false_rate)
    return float(np.trapezoid(precision * norm.pdf(threshold - distance), threshold))


def draw_patients(generator: np.random.Generator, images: int) -> Floats:
    """Return the patient of each image."""
    return np.repeat(np.arange(images), generator.choice(SIZES, images))[:images]


def draw_scores(
    generator: np.random.Generator, patients: Floats, labels: Floats, distance: float
) -> Floats:
    """Return scores (N, C) of labels (N, C)."""
    common = generator.normal(size=(patients.max() + 1, labels.shape[1]))[patients]
    alone = generator.normal(size=labels.shape)
    return np.sqrt(WITHIN) * common + np.sqrt(1 - WITHIN) * alone + distance * labels


def ap_values(labels: Floats, scores: Floats, replicates: Replicates) -> Floats:
    """Average precision (1 + R, C)."""
    return weighted_auroc_and_ap(labels, scores, *replicates)[1]


def study(
    generator: np.random.Generator, images: int, distances: tuple[float, float], resamples: int
) -> Iterator[tuple[str, Floats, float, tuple[float, float]]]:
    """Simulate one study: name, values (1 + R,), truth and bounds of each measure."""
    patients = draw_patients(generator, images)
    replicates = draw_replicates(patients, generator, resamples)
    single, several = (np.array(n) / images for n in (SINGLE, np.array(FINDINGS) * images / 236))
    labels = generator.random((images, len(single))) < single
    values = ap_values(labels, draw_scores(generator, patients, labels, distances[0]), replicates)
    for column, n in enumerate(SINGLE):
        truth = average_precision(distances[0], single[column])
        yield f"{n} positives", values[:, column], truth, (0.0, 1.0)
    labels = generator.random((images, len(several))) < several
    macro = [
        ap_values(labels, draw_scores(generator, patients, labels, d), replicates).mean(axis=1)
        for d in distances
    ]
    truths = [np.mean([average_precision(d, p) for p in several]) for d in distances]
    yield "macro of 14", macro[0], truths[0], (0.0, 1.0)
    yield "macro, difference", macro[0] - macro[1], truths[0] - truths[1], (-1.0, 1.0)


def ap_coverage(images: int, distance: float, studies: int, resamples: int) -> Tallies:
    """Count the intervals of average precision by measure and number of shifts."""
    generator, tallies = np.random.default_rng(images), Tallies(Tally)
    for _ in range(studies):
        for name, values, truth, bounds in study(
            generator, images, (distance, distance + 1), resamples
        ):
            for shifts in SHIFTS:
                low, high, _ = interval(bias_corrected(values, shifts, bounds))
                if low is not None and high is not None:
                    tallies[name, shifts].add(low, high, truth)
    return tallies


def auroc_coverage(positives: int, studies: int, resamples: int) -> Tally:
    """Count the intervals of an AUROC of so many positive patients among 200, one image each."""
    generator, tally = np.random.default_rng(positives), Tally()
    labels = np.arange(200)[:, None] < positives
    for _ in range(studies):
        replicates = draw_replicates(np.arange(200), generator, resamples)
        scores = generator.normal(size=labels.shape) + labels
        values = weighted_auroc_and_ap(labels, scores, *replicates)[0][1:, 0]
        low, high = np.nanpercentile(values, [2.5, 97.5])
        tally.add(low, high, float(norm.cdf(1 / np.sqrt(2))))
    return tally


def main(studies: int = 200, resamples: int = 500) -> None:
    """Simulate and print."""
    console = Console(width=110)
    for images in (236, 700):
        for distance in (1.0, 1.5):
            table = Table(title=f"Average precision, {images} images, d = {distance}")
            headings = ("of", "shifts", "coverage", "above the truth", "width")
            for heading in headings:
                table.add_column(heading, justify="left" if heading == "of" else "right")
            for (name, shifts), tally in ap_coverage(images, distance, studies, resamples).items():
                table.add_row(name, str(shifts), *tally.cells())
            console.print(table)
    table = Table("positive patients", "coverage", "above", "width", title="AUROC, percentiles")
    for positives in FEW_PATIENTS:
        table.add_row(str(positives), *auroc_coverage(positives, studies, resamples).cells())
    console.print(table)


if __name__ == "__main__":
    typer.run(main)
