"""An epoch of the training loop of `stages/train.py` without validation, for benchmarks."""

from collections.abc import Callable

from cxr14.config.blocks import AugmentParams, LossParams, Recipe
from cxr14.models.inference import Compute
from cxr14.models.network import Network, build_network
from cxr14.training.dataset import SplitData
from cxr14.training.engine import Loop, Session
from cxr14.training.losses import make_loss

ENDLESS = 100_000
LOSS = LossParams(name="cross_entropy", weighting="batch", smoothing=0.0)


def make_recipe(size: int, batch_size: int, compiled: bool) -> Recipe:
    """Return the recipe of params.yaml with practically unlimited epochs."""
    return Recipe.model_construct(  # loop_cost has smaller images than params.yaml allows
        input_size=size,
        epochs=ENDLESS,
        batch_size=batch_size,
        optimizer="adamw",
        learning_rate=1e-4,
        backbone_rate=1.0,
        weight_decay=0.01,
        schedule="cosine",
        cycles=1,
        warmup_fraction=0.1,
        ema=0.0,
        augment=AugmentParams(flip=0.0, rotation=5.0, scale=0.1, shift=0.08, brightness=0.1),
        device="auto",
        precision="auto",
        compile=compiled,
        processes=1,
        seed=14,
    )


def make_network(backbone: str) -> Network:
    """Return the network to measure, with fixed random weights."""
    return build_network(backbone, 256, "avg", 10.0, seed=1)


def our_epoch(
    network: Network,
    part: SplitData,
    recipe: Recipe,
    compute: Compute,
    on_step: Callable[[], None] = lambda: None,
) -> Callable[[], None]:
    """Return a function that runs one epoch; `on_step` is called after every step."""
    session = Session(network, recipe, compute, ENDLESS)
    loop = Loop(part, part, make_loss(LOSS, part.labels), on_step=on_step)
    if recipe.compile:
        network.compile()
    network.train()

    def epoch() -> None:
        loop._run_steps(session, network)
        session.progress.step, session.progress.losses = 0, []
        session.progress.epoch += 1

    return epoch
