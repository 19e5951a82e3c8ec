"""Torchvision without torch's compiler."""

from tests.loaded import loaded, output_of

COMPILER = {"torch._dynamo", "torch._inductor", "sympy", "triton"}


def test_a_network_is_built_and_run_without_the_compiler():
    """It takes as long to import as torch, and training alone needs it, for the optimizer."""
    module = "cxr14.models.network"
    run = (
        "import torch\n"
        f"network = {module}.build_network('resnet18', 8, 'avg', 10.0, 0, output_stride=16)\n"
        "network.maps(torch.zeros(2, 3, 32, 32)).sum().backward()"
    )
    assert loaded([module], {*COMPILER, "torchvision"}, run) == {"torchvision"}


def test_the_deferred_function_is_the_compilers():
    code = """
import sys
import cxr14.models.torchvision_import
deferred = sys.modules["torchvision.ops.roi_align"].is_compile_supported
assert "torch._dynamo" not in sys.modules
answers = [deferred(device) for device in ("cpu", "mps")]
from torch._dynamo.utils import is_compile_supported
assert deferred is not is_compile_supported
print(answers == [is_compile_supported(device) for device in ("cpu", "mps")])
"""
    assert output_of(code).strip() == "True"
