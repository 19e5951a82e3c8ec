"""Training on a real GPU: the same bits again, nothing waits, an interruption changes nothing."""

import numpy as np
import pytest
import torch

from cxr14.models.backbones import STUDIED
from cxr14.models.inference import resolve_compute
from cxr14.models.network import build_network
from cxr14.training.checkpoint import Checkpoint
from cxr14.training.dataset import load_split
from cxr14.training.distributed import InterruptedTrainingError, StopRequest
from cxr14.training.engine import METER_STEPS, Loop, Session
from tests.training.tiny import CHANGES, RECIPE, loss_of, replace

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
COUNT, SIZE, BATCH = 96, 64, 16
PLAN = replace(
    RECIPE, input_size=SIZE, batch_size=BATCH, epochs=2, learning_rate=1e-3, augment=CHANGES
)


def prepared(backbone, precision="auto", recipe=PLAN, **rest) -> tuple[Loop, Session]:
    """Noise to learn by heart, on the GPU."""
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (COUNT, SIZE, SIZE), dtype=np.uint8)
    labels = np.float32(rng.random((COUNT, 15)) < 0.5)
    own = load_split(images, np.arange(COUNT), labels, SIZE, "cuda")
    compute = resolve_compute("cuda", precision, backbone)
    session = Session(build_network(backbone, 32, "lse", 10.0, seed=1), recipe, compute, 12)
    loss = loss_of("cross_entropy", "batch", own.labels)
    return Loop(own, own, loss, **rest), session


def trained(backbone, **choices):
    loop, session = prepared(backbone, **choices)
    return loop.run(session)


def same(first, second) -> bool:
    pairs = ((first.best_state[name], second.best_state[name]) for name in first.best_state)
    return first.history == second.history and all(torch.equal(*pair) for pair in pairs)


@pytest.mark.parametrize("backbone", STUDIED)
def test_the_same_seed_gives_the_same_weights_bit_for_bit(backbone):
    first = trained(backbone)
    assert same(first, trained(backbone))
    assert all(np.isfinite(row["loss"]) for row in first.history)


@pytest.mark.parametrize("backbone", STUDIED)
def test_no_step_waits_for_the_gpu(backbone):
    loop, session = prepared(backbone, recipe=replace(PLAN, ema=0.9))
    loop._run_steps(session, session.network)  # what is set up on first use may wait
    session.progress.step, session.progress.losses = 0, []
    assert COUNT // BATCH < METER_STEPS  # the look comes after the last step only
    steps = []

    def on_step():
        torch.cuda.set_sync_debug_mode("error" if len(steps) < COUNT // BATCH - 1 else "default")
        steps.append(1)

    loop.on_step = on_step
    try:
        loop._run_steps(session, session.network)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert len(steps) == COUNT // BATCH


def test_an_interrupted_training_ends_with_the_same_weights(tmp_path):
    whole, stop, steps = trained("alexnet"), StopRequest(), []

    def on_step():
        steps.append(1)
        stop.requested = len(steps) == 3

    checkpoint = Checkpoint(tmp_path, "alexnet", "run", 60.0)
    loop, session = prepared("alexnet", checkpoint=checkpoint, stop=stop, on_step=on_step)
    with pytest.raises(InterruptedTrainingError):
        loop.run(session)
    loop, session = prepared("alexnet", checkpoint=checkpoint)
    assert "3 steps were done" in checkpoint.resume(session)
    assert same(loop.run(session), whole)


def test_bf16_learns_as_fp32_does():
    half, full = trained("resnet50", precision="bf16"), trained("resnet50", precision="fp32")
    assert half.history[-1]["loss"] == pytest.approx(full.history[-1]["loss"], rel=0.05)
    assert all(tensor.dtype != torch.bfloat16 for tensor in half.best_state.values())
