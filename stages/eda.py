"""Explore the records: the study's figures 1–7, from train and val (without test).

Command: `python -m stages.eda`

Reads `data/records/images.parquet`, `data/records/source.json`, `data/split/split.parquet`, and
for figures 6 and 7 `data/cache/`.

Writes `plots/eda/NAME.csv` and `NAME.png` for label_distribution, sex, sex_by_finding, age,
age_by_finding, sample_single and sample_multi (figures 1 to 7), and `metrics/eda.json`. Its key
`phantom` is about the pixels of figures 6 and 7; the records are real.
"""

from cxr14.datasets import statistics
from cxr14.datasets.records import read_records, read_source, read_split
from cxr14.figures import eda
from cxr14.figures.style import export
from cxr14.io import write_metrics
from cxr14.labels import CLASSES
from cxr14.preprocessing.cache import open_cache, rows_of
from stages import run


def main() -> None:
    """Run the stage."""
    source = read_source()
    images = read_records()
    records = statistics.with_split(images, read_split())
    numbers = statistics.key_figures(records)
    ten_years, ageless = (
        numbers["train_val"][key] for key in ("age_fullest_ten_years", "age_missing")
    )

    studied, out = statistics.train_val(records), "plots/eda"
    labels = statistics.label_distribution(studied)
    export(f"{out}/label_distribution", labels, eda.label_distribution, len(studied))
    export(f"{out}/sex", statistics.sex_distribution(studied), eda.sex)
    export(f"{out}/sex_by_finding", statistics.sex_by_finding(studied), eda.sex_by_finding)
    export(f"{out}/age", statistics.age_distribution(studied), eda.age, ten_years, ageless)
    export(f"{out}/age_by_finding", statistics.age_by_finding(studied), eda.age_by_finding)

    pixels, index = open_cache("data/cache")
    cached_records = studied[studied["image"].isin(index["image"])]
    single, multi = (
        eda.single_label_samples(cached_records),
        eda.multi_label_samples(cached_records),
    )
    cached = pixels[rows_of(index, single["image"])]
    below = eda.subtitle("Figure 6 · train-val", single, source, CLASSES)
    export(f"{out}/sample_single", single, eda.draw, cached, 5, "Images with one label", below)
    cached = pixels[rows_of(index, multi["image"])]
    below = eda.subtitle("Figure 7 · train-val, the commonest combinations", multi, source)
    export(f"{out}/sample_multi", multi, eda.draw, cached, 4, "Images with several labels", below)

    write_metrics("metrics/eda.json", source.flags | numbers)
    print(f"{len(studied):,} images of train-val explored: see {out} and metrics/eda.json")


if __name__ == "__main__":
    run(main, __doc__)
