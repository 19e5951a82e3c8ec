"""Score a trained network on held-out images: predictions, decisions, metrics, curves.

    python -m stages.evaluate --backbone alexnet

Thresholds (highest F1), Platt and temperature scaling are chosen on validation; the stage chooses
nothing on test. Intervals: patients resampled. How to read the numbers:
docs/explanation/metrics.md.

Reads models/B, data/cache, data/records, data/split.
Writes predictions/B.parquet, evaluation/B/decision.json, metrics/evaluate/B.json,
metrics/evaluate/B/findings.csv and means.csv, plots/evaluate/B/roc.csv, pr.csv, reliability.csv and
threshold_f1.csv.
"""

from cxr14.config.blocks import read_evaluate
from cxr14.console import print_tables
from cxr14.datasets.records import read_records, read_source, read_split
from cxr14.evaluation.evaluate import score_logits
from cxr14.evaluation.measures import saw_test_images
from cxr14.evaluation.predict import held_out, predict_logits
from cxr14.models.published import note_on
from cxr14.models.serialization import load_model
from cxr14.preprocessing.cache import open_cache
from cxr14.report.terminal import findings_table
from stages import Backbone, run


def main(backbone: Backbone) -> None:
    """Run the stage."""
    images, index = open_cache("data/cache")
    listed = held_out(index, read_split())
    network, model = load_model(f"models/{backbone}")
    size, batch_size, rows = model["input_size"], read_evaluate().batch_size, listed["row"]
    logits = predict_logits(network, images, rows.to_numpy(), size, batch_size)
    records = read_records()
    published = model.get("initial_weights")
    facts = saw_test_images(published)
    scores = score_logits(backbone, listed, logits, model["classes"], records, facts=facts)
    print_tables(findings_table(backbone, scores, read_source(), note_on(published)))


if __name__ == "__main__":
    run(main, __doc__)
