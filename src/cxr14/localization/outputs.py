"""The files that localisation leaves of a backbone."""

from pathlib import Path

from cxr14.files import write_csv, write_metrics, write_parquet
from cxr14.localization.detect import write_heatmaps
from cxr14.localization.maps import Maps
from cxr14.localization.scorecard import Scores


def write_scores(
    root: str | Path, backbone: str, maps: Maps, scores: Scores, phantom: bool
) -> None:
    """Write localization/B/ (boxes, heatmaps) and metrics/localize/B.json with its tables in B/.

    Args:
        root: of the repository.
        backbone: B.
        maps: the network's own are written.
        scores: of these maps.
        phantom: whether these are phantoms.
    """
    found, metrics = Path(root, "localization", backbone), Path(root, "metrics/localize")
    write_parquet(found / "detections.parquet", scores.overlaps)
    write_heatmaps(found / "heatmaps.npz", maps.cases.pairs, maps.own)
    for name, table in scores.tables.items():
        write_csv(metrics / backbone / f"{name}.csv", table.assign(phantom=int(phantom)))
    write_metrics(metrics / f"{backbone}.json", scores.headline | {"phantom": int(phantom)})
