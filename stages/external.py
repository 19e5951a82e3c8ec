"""Score a trained network on an external set, beside our test images.

    python -m stages.external --set chexpert --backbone alexnet

Thresholds and calibration are those of our validation; nothing is chosen on the set. Intervals:
patients resampled. How to read the gap: docs/howto/external.md.

Reads:  models/B, evaluation/B/decision.json, predictions/B.parquet, data/external/SET,
data/cache/index.parquet, data/records, data/split

Writes: external/SET/B.parquet (predictions), metrics/external/SET/B.json,
metrics/external/SET/B/findings.csv, means.csv and gap.csv
"""

from typing import Annotated

import pandas as pd
import typer

from cxr14.config.blocks import read_evaluate
from cxr14.config.external import check_set_name
from cxr14.console import print_tables
from cxr14.datasets.external import CACHE, FOLDER, read_set
from cxr14.datasets.records import (
    Source,
    read_source,
    read_split,
    records_of,
    write_result,
    write_table,
)
from cxr14.evaluation.evaluate import Scores
from cxr14.evaluation.external import (
    count_in_training,
    score_external,
    score_side,
    shared_classes,
)
from cxr14.evaluation.measures import predictions_of, read_test_predictions
from cxr14.evaluation.predict import predict_views
from cxr14.evaluation.predictions import logit_of_mean, prediction_table
from cxr14.io import METRIC_DIGITS, write_parquet
from cxr14.models.serialization import load_model
from cxr14.preprocessing.cache import open_cache, read_index
from cxr14.report.terminal_external import external_table
from cxr14.training.augment import views_of
from stages import Backbone, run

ExternalName = Annotated[
    str, typer.Option("--set", help="Name in external.", callback=check_set_name)
]


def main(name: ExternalName, backbone: Backbone) -> None:
    """Run the stage."""
    folder, source = FOLDER / name, read_source()
    records, labelled = read_set(folder)
    images, index = open_cache(folder / CACHE)
    listed = index.sort_values("image", ignore_index=True).assign(split="test")
    network, model = load_model(f"models/{backbone}")
    shared = shared_classes(model["classes"], labelled)
    test_images, networks = read_test_predictions([backbone])
    ours = networks[backbone]
    size, batch_size, rows = model["input_size"], read_evaluate().batch_size, listed["row"]
    views = views_of(model) if ours.decision.get("tta") else None
    of_views = predict_views(network, images, rows.to_numpy(), size, batch_size, views)
    logits = of_views[0] if views is None else logit_of_mean(of_views)
    table = prediction_table(listed, logits, model["classes"])
    write_parquet(f"external/{name}/{backbone}.parquet", table)
    external = predictions_of(table, ours.decision)
    set_records = records.set_index("image").loc[listed["image"]]
    scores, gaps = score_external(
        score_side("ours", ours, records_of(test_images), shared),
        score_side("external", external, set_records, shared),
    )
    in_training = count_in_training(index, read_index(), read_split())
    scores.headline["images_also_in_training"] = in_training
    write_scores(f"metrics/external/{name}/{backbone}", scores, gaps, source)
    print_tables(external_table(name, backbone, gaps, scores.headline, source))


def write_scores(path: str, scores: Scores, gaps: pd.DataFrame, source: Source) -> None:
    """Write the headline as a JSON file, and a folder of tables beside it."""
    write_result(f"{path}.json", scores.headline, source)
    tables = {"findings": scores.findings, "means": scores.means, "gap": gaps.round(METRIC_DIGITS)}
    for name, table in tables.items():
        write_table(f"{path}/{name}.csv", table, source)


if __name__ == "__main__":
    run(main, __doc__)
