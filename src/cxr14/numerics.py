"""Environment variables by which a run gives the same bits on every x86-64 processor with AVX2.

NumPy, OpenBLAS, torch, oneDNN and MKL choose their code by the processor and the number of cores,
and read these variables when they are imported. So :func:`set_environment` comes before the first
import of any of them, in every process. Elsewhere the code avoids what no variable controls: MKL's
vector math behind ``torch.sqrt``, ``pow(0.5)``, ``log10``, ``asin``, ``acos`` and ``atan`` on CPUs
(the optimizers are fused for that reason).
"""

import os
import platform
from pathlib import Path

THREADS = "2"
"""Sums are split among threads, so their number changes the last digits."""

DISABLED = "NPY_DISABLE_CPU_FEATURES"
ABOVE_AVX2 = {"X86_V4", "AVX512_ICL", "AVX512_SPR"}
"""What NumPy's build has; the names that a processor lacks are no error."""

NUMPY = {"OPENBLAS_NUM_THREADS": THREADS}
"""For `portable` and `fast`: phantoms, split and scores depend on no key, and cost the same."""

TORCH = {
    "OMP_NUM_THREADS": THREADS,
    "OMP_DYNAMIC": "FALSE",
    "MKL_NUM_THREADS": THREADS,
    "MKL_DYNAMIC": "FALSE",  # else MKL takes one thread where two share a core
    "MKL_CBWR": "COMPATIBLE",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
}
"""For `portable`: networks."""

LIMITS = ("OMP_THREAD_LIMIT", "MKL_DOMAIN_NUM_THREADS")
"""Variables of a user that would change the number of threads in spite of :data:`TORCH`."""

REQUIRE_AVX2 = {"OPENBLAS_CORETYPE": "Haswell"}, {"ATEN_CPU_CAPABILITY": "avx2"}
"""More of :data:`NUMPY` and :data:`TORCH`. The libraries obey them even where AVX2 is missing."""


def set_environment(numerics: str) -> None:
    """Set the variables for this process and those that it starts.

    Args:
        numerics: `portable` or `fast`; `fast` leaves threads and instructions of torch as they are.
    """
    numpy_more, torch_more = REQUIRE_AVX2 if has_avx2() else ({}, {})
    disabled = {*os.environ.get(DISABLED, "").replace(",", " ").split()} | ABOVE_AVX2
    os.environ.update(NUMPY | numpy_more | {DISABLED: " ".join(sorted(disabled))})
    if numerics == "portable":
        os.environ.update(TORCH | torch_more)
        for name in LIMITS:
            os.environ.pop(name, None)


def has_avx2(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether this is an x86-64 processor with AVX2 and FMA, as far as Linux tells."""
    if platform.machine() not in ("x86_64", "AMD64") or not cpuinfo.is_file():
        return False
    return {"avx2", "fma"} <= set(cpuinfo.read_text().split())


def describe_deviation() -> str | None:
    """Return why results will differ from those of other processors; None if they will not."""
    if has_avx2():
        return None
    return (
        f"results will differ in the last digits from those of x86-64 processors with AVX2; this "
        f"one ({platform.machine()}) is not known to be one"
    )
