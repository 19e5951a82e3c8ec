"""Explore the records: tables of the study's figures 1–7, from train and val (without test).

Command: `python -m stages.eda`

Reads `data/records/images.parquet`, `data/records/source.json`, `data/split/split.parquet`, and
the index of `data/cache/`: the samples of figures 6 and 7 have pixels.

Writes `plots/eda/NAME.csv` for label_distribution, sex, sex_by_finding, age, age_by_finding,
sample_single and sample_multi (figures 1 to 7; the stage report draws them), and
`metrics/eda.json`. Its key `phantom` is about the pixels of figures 6 and 7; the records are real.
"""

from cxr14.datasets import statistics
from cxr14.datasets.records import read_records, read_source, read_split
from cxr14.io import write_csv, write_metrics
from cxr14.preprocessing.cache import read_index
from stages import run


def main() -> None:
    """Run the stage."""
    records = statistics.with_split(read_records(), read_split())
    studied = statistics.train_val(records)
    cached = studied[studied["image"].isin(read_index()["image"])]
    tables = {
        "label_distribution": statistics.label_distribution(studied),
        "sex": statistics.sex_distribution(studied),
        "sex_by_finding": statistics.sex_by_finding(studied),
        "age": statistics.age_distribution(studied),
        "age_by_finding": statistics.age_by_finding(studied),
        "sample_single": statistics.single_label_samples(cached),
        "sample_multi": statistics.multi_label_samples(cached),
    }
    for name, table in tables.items():
        write_csv(f"plots/eda/{name}.csv", table)
    write_metrics("metrics/eda.json", read_source().flags | statistics.key_figures(records))
    print(f"{len(studied):,} images of train-val explored: see plots/eda and metrics/eda.json")


if __name__ == "__main__":
    run(main, __doc__)
