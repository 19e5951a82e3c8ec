"""LayerCAM (Jiang et al. 2021, IEEE Transactions on Image Processing 30: 5875–5888)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from cxr14.localization.methods.slopes import slopes

if TYPE_CHECKING:
    from cxr14.models.network import Network


def layer_cam(network: "Network", maps: Tensor, classes: Sequence[int]) -> Tensor:
    """Weigh each pixel by its own positive slope: ReLU(Σ_k ReLU(g_k) A_k), (B, C, h, w).

    Nothing is averaged over space, so where pooling is uneven (max, lse) only places that the
    logit hangs on are hot. For average pooling it is a CAM of the positive weights, / (h·w).
    """
    rising = slopes(network, maps, classes).relu()
    return (rising * maps[:, None]).sum(dim=2).relu()
