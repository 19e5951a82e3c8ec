"""Explore the records: the study's figures 1–7, from train and val (test stays unseen).

Command: `python -m stages.eda`

Reads `data/records/images.parquet`, `data/records/source.json`, `data/split/split.parquet`, and
for figures 6 and 7 `data/cache/`.

Writes `plots/eda/NAME.csv` and `NAME.png` for label_distribution, sex, sex_by_finding, age,
age_by_finding, sample_single and sample_multi (figures 1 to 7), and `metrics/eda.json`. Its key
`phantom` speaks of the pixels of figures 6 and 7; the records are real.
"""

from cxr14.data.cache import open_cache, rows_of
from cxr14.data.stored import read_records, read_source, read_split
from cxr14.explore import figures, samples, summary
from cxr14.explore.drawing import export
from cxr14.files import write_metrics
from cxr14.findings import CLASSES
from stages import run


def main() -> None:
    """Run the stage."""
    source = read_source("official_split")
    phantom = bool(source["phantom"])
    images = read_records()
    records = summary.with_split(images, read_split())
    numbers = summary.key_figures(records)
    ten_years, ageless = (
        numbers["train_val"][key] for key in ("age_fullest_ten_years", "age_missing")
    )

    studied, out = summary.train_val(records), "plots/eda"
    labels = summary.label_distribution(studied)
    export(f"{out}/label_distribution", labels, figures.label_distribution, len(studied))
    export(f"{out}/sex", summary.sex_distribution(studied), figures.sex)
    export(f"{out}/sex_by_finding", summary.sex_by_finding(studied), figures.sex_by_finding)
    export(f"{out}/age", summary.age_distribution(studied), figures.age, ten_years, ageless)
    export(f"{out}/age_by_finding", summary.age_by_finding(studied), figures.age_by_finding)

    pixels, index = open_cache("data/cache")
    seen = studied[studied["image"].isin(index["image"])]
    single, multi = samples.single_label_samples(seen), samples.multi_label_samples(seen)
    cached = pixels[rows_of(index, single["image"])]
    below = samples.subtitle("Figure 6 · train-val", single, phantom, CLASSES)
    export(f"{out}/sample_single", single, samples.draw, cached, 5, "Images with one label", below)
    cached = pixels[rows_of(index, multi["image"])]
    below = samples.subtitle("Figure 7 · train-val, the commonest combinations", multi, phantom)
    export(
        f"{out}/sample_multi", multi, samples.draw, cached, 4, "Images with several labels", below
    )

    flags = {"phantom": int(phantom), "official_split": int(source["official_split"])}
    write_metrics("metrics/eda.json", flags | numbers)
    print(f"{len(studied):,} images of train-val explored: see {out} and metrics/eda.json")


if __name__ == "__main__":
    run(main, __doc__)
