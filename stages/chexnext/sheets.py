"""Draw a contact sheet per finding for the ensemble, and for each student.

    python -m stages.chexnext.sheets

Reads chexnext/localization, chexnext/predictions, the same in chexnext/singles, data/cache,
data/records, params.yaml (localize), chexnext/params.yaml (students).
Writes chexnext/plots/localize and chexnext/singles/plots/localize.
"""

from cxr14.chexnext.paths import ENSEMBLE, ROOT, SINGLES, STUDENTS, network_paths
from cxr14.config.chexnext import read_students
from cxr14.config.localize import read_localize
from stages import run
from stages.sheets import draw_all


def main() -> None:
    """Run the stage."""
    params, students = read_localize(), read_students()
    networks = network_paths(STUDENTS, students.backbones, students.seeds)
    roots = [*(SINGLES for _ in networks), ROOT]
    draw_all(roots, [*(network.title for network in networks), ENSEMBLE], params)


if __name__ == "__main__":
    run(main, __doc__)
