"""Check all of params.yaml and chexnext/params.yaml, before anything is downloaded or trained.

Runs first in the graph, so a name of a backbone is checked before DVC puts it into a path. Its
output never changes, so no stage runs again because of it.

Reads:  params.yaml, chexnext/params.yaml

Writes: data/params_checked.txt
"""

from typing import Annotated

import typer

from cxr14.config.check import check_params
from cxr14.io import write_text
from stages import run


def main(
    check: Annotated[bool, typer.Option("--check", help="Only check, and write nothing.")] = False,
) -> None:
    """Check, and leave the output that other stages depend on."""
    check_params()
    if not check:
        write_text("data/params_checked.txt", "params.yaml and chexnext/params.yaml are valid\n")


if __name__ == "__main__":
    run(main, __doc__)
