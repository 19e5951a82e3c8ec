"""Hash the weights, logits and heat of each backbone after two training steps on noise.

    python -m verify.steps                                    (natively, seconds)
    qemu-x86_64 -cpu Haswell .venv/bin/python -m verify.steps (emulated, minutes)

Equal lines mean equal bits. This is a quicker check than the whole tiny graph of verify.cpus.
Images are not augmented, and NPY_DISABLE_CPU_FEATURES has to be X86_V3 under qemu, see there.
"""

import hashlib

import numpy as np
import torch

import stages  # noqa: F401  (sets the environment of `numerics` before torch is imported)
from cxr14.config.blocks import LossParams, read_train
from cxr14.labels import CLASSES, STUDIED
from cxr14.localization.cam import SaliencySettings, raw_heatmaps
from cxr14.models.inference import deterministic_inference, prepare
from cxr14.models.network import Network, build_network
from cxr14.training.losses import make_loss
from cxr14.training.optim import make_optimizer

BATCH, STEPS = 4, 2
LOSS = LossParams(name="cross_entropy", weighting="batch", smoothing=0.0)


def main() -> None:
    """Print a line per backbone."""
    for name in STUDIED:
        print(name, hashed(name, 64 if name == "alexnet" else 32), flush=True)


def hashed(name: str, size: int) -> str:
    """Train a network for two steps; return the start of a SHA-256 of all that it gives."""
    generator = np.random.default_rng(14)
    images = generator.integers(0, 256, (BATCH, size, size), dtype=np.uint8)
    labels = torch.from_numpy(generator.integers(0, 2, (BATCH, len(CLASSES)))).float()
    network = build_network(name, 256, "avg", 10.0, seed=14)
    train(network, images, labels, size)
    digest = hashlib.sha256()
    for tensor in network.state_dict().values():
        digest.update(tensor.numpy().tobytes())
    network.eval()
    with deterministic_inference(network), torch.no_grad():
        digest.update(network(prepare(torch.from_numpy(images), size)).numpy().tobytes())
    rows = np.arange(BATCH)
    settings = SaliencySettings("layercam", BATCH, size, 4, 0.06)
    digest.update(raw_heatmaps(network, images, rows, rows, settings).tobytes())
    return digest.hexdigest()[:16]


def train(network: Network, images: np.ndarray, labels: torch.Tensor, size: int) -> None:
    """Run two steps of the optimizer and the loss of the pipeline, in place."""
    network.train()
    optimizer = make_optimizer(network, read_train().for_backbone("alexnet"))
    loss = make_loss(LOSS, labels)
    for _ in range(STEPS):
        optimizer.zero_grad()
        logits = network(prepare(torch.from_numpy(images), size))
        torch.autograd.backward([loss(logits, labels)])
        optimizer.step()


if __name__ == "__main__":
    main()
