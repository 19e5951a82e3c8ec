"""Select the members whose average is best on validation.

    python -m stages.chexnext.select

Reads chexnext/logits/members, chexnext/models/members, chexnext/data/labels.parquet, data/split,
data/cache, data/records/source.json, chexnext/params.yaml (members, select).
Writes chexnext/selection/selection.json, chexnext/metrics/select.json.
"""

from cxr14.chexnext.ensemble import select_members, selection_metrics
from cxr14.chexnext.paths import MEMBERS, ROOT, SELECTION, network_paths
from cxr14.config.chexnext import read_members, read_select
from cxr14.console import print_tables
from cxr14.datasets.records import read_source, write_result
from cxr14.io import write_json
from cxr14.report.terminal import selection_table
from stages import run


def main() -> None:
    """Run the stage."""
    params, rule, source = read_members(), read_select(), read_source()
    members = network_paths(MEMBERS, params.backbones, params.seeds)
    selection = select_members(
        members,
        [params.fold_of(member.seed) for member in members],
        folds=params.folds,
        measure=rule.measure,
        exhaustive_up_to=rule.exhaustive_up_to,
        source=source,
    )
    write_json(SELECTION, selection)
    write_result(ROOT / "metrics/select.json", selection_metrics(selection), source)
    print_tables(selection_table(selection, source))


if __name__ == "__main__":
    run(main, __doc__)
