"""Where and how precisely to compute."""

import pytest
import torch

from cxr14.models.inference import CHANNELS_LAST_ON_CPU, resolve_compute


@pytest.mark.parametrize("backbone", ["alexnet", "resnet50"])
def test_on_a_cpu_everything_is_fp32_and_the_layout_is_the_measured_one(backbone):
    compute = resolve_compute("cpu", "auto", backbone)
    assert (compute.device, compute.precision) == ("cpu", "fp32")
    assert compute.channels_last == (backbone in CHANNELS_LAST_ON_CPU)
    expected = torch.channels_last if compute.channels_last else torch.contiguous_format
    assert compute.memory_format == expected


def test_auto_is_a_gpu_where_there_is_one():
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert resolve_compute("auto", "fp32", "alexnet").device == expected


def test_asking_for_a_gpu_where_there_is_none_is_refused():
    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(ValueError, match=r"train\.device is cuda, but torch sees no GPU; use auto"):
        resolve_compute("cuda", "auto", "alexnet")


@pytest.mark.parametrize(
    ("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)]
)
def test_the_precision_asked_for_is_that_of_the_forward_pass(precision, dtype):
    compute = resolve_compute("cpu", precision, "alexnet")
    with compute.autocast():
        assert torch.nn.Linear(2, 2)(torch.ones(1, 2)).dtype == dtype
