"""Score a trained network on held-out images: predictions, decisions, metrics, curves.

    python -m stages.evaluate --backbone alexnet

Thresholds (highest F1), Platt and temperature scaling are chosen on validation; the stage chooses
nothing on test. With evaluate.tta the mean probability over views of each image is scored, and
compared with that of the image alone. Intervals: patients resampled. How to read the numbers:
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
from cxr14.evaluation.predict import held_out, predict_views
from cxr14.evaluation.tta import score_views
from cxr14.models.published import note_on
from cxr14.models.serialization import load_model
from cxr14.preprocessing.cache import open_cache
from cxr14.report.terminal import findings_table
from cxr14.training.augment import views_of
from stages import Backbone, run


def main(backbone: Backbone) -> None:
    """Run the stage."""
    images, index = open_cache("data/cache")
    listed = held_out(index, read_split())
    network, model = load_model(f"models/{backbone}")
    params, rows = read_evaluate(), listed["row"].to_numpy()
    views = views_of(model) if params.tta else None
    size, batch_size = model["input_size"], params.batch_size
    logits = predict_views(network, images, rows, size, batch_size, views)
    records, classes = read_records(), model["classes"]
    published = model.get("initial_weights")
    facts = saw_test_images(published)
    if params.tta:
        scores = score_views(backbone, listed, logits, classes, records, facts)
    else:
        scores = score_logits(backbone, listed, logits[0], classes, records, facts=facts)
    print_tables(findings_table(backbone, scores, read_source(), note_on(published)))


if __name__ == "__main__":
    run(main, __doc__)
