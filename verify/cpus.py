"""Compare a tiny run of the graph on this processor with the same run on emulated ones.

    python -m verify.cpus                        (make verify-cpus)
    python -m verify.cpus --cpus Skylake-Client

qemu emulates processors up to AVX2. So if this one has AVX-512, equal outputs show that it is not
used. Prints which outputs are equal; exits with 1 if one is not. On two cores it takes a while.
"""

import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from cxr14.errors import UserError
from cxr14.io import read_json
from cxr14.numerics import DISABLED
from verify.tiny_graph import HASHES

QEMU = "qemu-x86_64"
INSTALL = f"{QEMU} is missing; install qemu-user (Debian and Ubuntu: apt-get install qemu-user)"
NUMPY_AVX2 = "X86_V3"
"""Off under qemu 7.2, where NumPy's AVX2 argsort leaves arrays unsorted.

torch's grid_sample with AVX2 crashes there, so the tiny graph does not augment. NumPy's code
without AVX2 gives the same bits.
"""

Hashes = dict[str, str]


def main(
    cpus: Annotated[str, typer.Option(help="Models of qemu-x86_64 -cpu help.")] = (
        "Haswell,EPYC-Rome"
    ),
    keep: Annotated[Path | None, typer.Option(help="A new folder for the outputs.")] = None,
) -> None:
    """Run the graph on every processor, and print the table."""
    if not shutil.which(QEMU):
        raise UserError(INSTALL)
    with tempfile.TemporaryDirectory() as temporary:
        folder = keep or Path(temporary)
        folder.mkdir(exist_ok=True)
        native = run_graph(folder / "native", None)
        emulated = {cpu: run_graph(folder / cpu, cpu) for cpu in cpus.split(",")}
    table = compared(native, emulated)
    print_table(table, processor())
    if any(different for row in table.values() for different in row.values()):
        raise SystemExit(1)


def run_graph(folder: Path, cpu: str | None) -> Hashes:
    """Run the tiny graph in a folder, natively or emulated; return the hashes by path.

    Raises:
        UserError: the run failed; the message names its log.
    """
    log = folder.with_suffix(".log")
    command, environment = [sys.executable], dict(os.environ)
    options = ["-m", "verify.tiny_graph", str(folder.resolve())]
    if cpu:
        worker = write_worker(folder.with_suffix(".sh"), cpu)
        command, options = [str(worker)], [*options, f"--worker={worker}"]
        environment |= {DISABLED: NUMPY_AVX2}
    print(f"{cpu or 'this processor'}: running, see {log}", flush=True)
    with log.open("w") as file:
        done = subprocess.run(
            [*command, *options], env=environment, stdout=file, stderr=file, check=False
        )
    if done.returncode:
        raise UserError(f"the run on {cpu or 'this processor'} failed; see {log} (--keep keeps it)")
    return dict(read_json(folder / HASHES))


def write_worker(path: Path, cpu: str) -> Path:
    """Write a command that runs this Python emulated; it also serves worker processes."""
    real, named = Path(sys.executable).resolve(), Path(sys.executable).absolute()
    line = shlex.join([QEMU, "-cpu", cpu, "-0", str(named), str(real)])
    path.write_text(f'#!/bin/sh\nexec {line} "$@"\n')
    path.chmod(0o755)
    return path.resolve()


def compared(native: Hashes, emulated: dict[str, Hashes]) -> dict[str, dict[str, list[str]]]:
    """Return the files that differ from the native run, by kind of output and processor.

    The kind is the first one or two folders of a path, such as `data/raw` or `models`.
    """
    paths = sorted(set(native).union(*emulated.values()))
    table: dict[str, dict[str, list[str]]] = {}
    for path in paths:
        row = table.setdefault(kind_of(path), {cpu: [] for cpu in emulated})
        for cpu, hashes in emulated.items():
            if hashes.get(path) != native.get(path):
                row[cpu].append(path)
    return table


def kind_of(path: str) -> str:
    """Return the first folder of an output; of data, metrics and plots also the second one."""
    parts = Path(path).parts
    length = 2 if parts[0] in ("data", "metrics", "plots") and len(parts) > 2 else 1
    return "/".join(parts[:length])


def print_table(table: dict[str, dict[str, list[str]]], native: str) -> None:
    """Print a row per kind of output, and the files that differ."""
    cpus = list(next(iter(table.values())))
    shown = Table("output", *cpus, title=f"compared with {native}")
    for kind, row in table.items():
        shown.add_row(kind, *(f"{len(row[c])} differ" if row[c] else "equal" for c in cpus))
    Console().print(shown)
    for cpu in cpus:
        for path in (path for row in table.values() for path in row[cpu]):
            print(f"{cpu}: {path} differs")


def processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Return the name of this processor, and whether it has AVX-512."""
    lines = (line.partition(":") for line in cpuinfo.read_text().splitlines())
    facts: dict[str, Any] = {key.strip(): value.strip() for key, _, value in lines}
    wide = "with" if "avx512f" in facts.get("flags", "").split() else "without"
    name = facts.get("model name", platform.machine())
    where = f"family {facts.get('cpu family')}, model {facts.get('model')}"
    return f"{name} ({where}, {wide} AVX-512)"


if __name__ == "__main__":
    try:
        typer.run(main)
    except UserError as error:
        raise SystemExit(f"error: {error}") from None
