"""The block `localize` of params.yaml."""

from typing import Annotated, Literal

from pydantic import Field

from cxr14.config.reader import BatchSize, Block, read_block
from cxr14.errors import UserError

Share = Annotated[float, Field(ge=0, lt=1)]


class LocalizeParams(Block):
    """`heat_thresholds` are of 255, by `scaling`; `t_iobb` and `t_iou` are shares of an area.

    Attributes:
        layer: whose maps and gradients make the heatmap: the last one, or the deepest with this
            stride (pixels of the image per pixel of the maps).
        smoothing: deviation of the Gaussian that smooths a heatmap, as a share of its side.
        size: of the images that enter the network: of its training, or of the cache.
    """

    method: Literal["gradcam", "cam", "gradcam_pp", "layercam", "hirescam"]
    layer: Literal["last", 32, 16, 8, 4, 2]
    smoothing: float = Field(ge=0, le=0.5)
    scaling: Literal["per_map", "fixed"]
    size: Literal["train", "cache"]
    heat_thresholds: list[Annotated[int, Field(ge=0, le=254)]] = Field(min_length=1, max_length=255)
    t_iobb: list[Share] = Field(min_length=1, max_length=100)
    t_iou: list[Share] = Field(min_length=1, max_length=100)
    batch_size: BatchSize


def read_localize() -> LocalizeParams:
    """Read the block `localize` of params.yaml."""
    return read_block("localize", LocalizeParams)


def check_method(method: str, layer: int | str, pooling: str) -> None:
    """Refuse CAM where it is not exact: it needs average pooling and the last layer.

    Raises:
        UserError: names the keys.
    """
    if method == "cam" and (pooling != "avg" or layer != "last"):
        raise UserError(
            f"localize.method = cam is exact for model.pooling = avg and localize.layer = last, "
            f"and here they are {pooling} and {layer}; set localize.method to gradcam"
        )
