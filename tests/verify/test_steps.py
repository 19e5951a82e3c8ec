"""Two training steps have the same bits whatever the user sets."""

import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT

pytestmark = pytest.mark.graph

CODE = "from verify.steps import hashed; print(hashed('alexnet', 64))"


@pytest.fixture(scope="module")
def line() -> str:
    return run({})


def run(variables: dict[str, str]) -> str:
    command, environment = [sys.executable, "-c", CODE], os.environ | variables
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    "variables",
    [{"OMP_NUM_THREADS": "1"}, {"OMP_NUM_THREADS": "5"}, {"ATEN_CPU_CAPABILITY": "default"}],
)
def test_neither_threads_nor_instructions_of_the_user_change_a_bit(line, variables):
    assert len(line) == 16
    assert run(variables) == line
