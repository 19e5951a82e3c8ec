"""What a trained network was made from: its initial weights and its terms, for cards and exports.

It imports neither torch nor the models, so that the report starts fast.
"""

from collections.abc import Mapping
from typing import Any, Final

LICENCE: Final = (
    "Code: MIT. Weights: the terms of the training images, and of published initial weights, apply "
    "to any use and to any distribution of the weights."
)


def initial_weights(description: Mapping[str, Any]) -> str:
    """Describe the initial weights of a network, without the path of a file of the user.

    Args:
        description: content of model.json.
    """
    if published := description.get("initial_weights"):
        return (
            f"{published['name']} ({published['licence']}), {published['url']}; trained on NIH's "
            f"official test images: {published['nih_test_images']}"
        )
    weights = description["params"].get("model", {}).get("weights", "unknown")
    names = {"none": "random", "imagenet": "imagenet", "unknown": "unknown"}
    return names.get(weights, "a file of the user")
