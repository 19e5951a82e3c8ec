"""Check params, outputs, initial weights and images before a run.

    python -m stages.check_run

`make repro` calls it before `dvc repro`. It runs the checks of five stages in one process, so that
Python and pandas start once.

Reads what `check_params --check`, `check_outputs --cache`, `pretrained --check`,
`download --check` and `external_data --check` read. Writes nothing.
"""

import typer

from cxr14.config.blocks import read_numerics
from cxr14.numerics import describe_deviation
from stages import check_outputs, check_params, download, external_data, pretrained, run


def main() -> None:
    """Run the checks."""
    check_params.main(check=True)
    check_outputs.main(cache=True)
    pretrained.main(check_only=True)
    download.main(check=True)
    external_data.main(check=True)
    deviation = describe_deviation()
    if deviation and read_numerics() == "portable":
        typer.echo(f"note: numerics is portable, but {deviation}", err=True)


if __name__ == "__main__":
    run(main, __doc__)
