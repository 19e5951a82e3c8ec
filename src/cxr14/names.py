"""Names of backbones, as they may stand in params and on a command line.

A name becomes part of paths and of commands, so it is checked before anything is made of it.
Whether torchvision knows it is checked by cxr14.models.backbones, which imports torch.
"""

import re
from typing import Final

from cxr14.errors import UserError, quote

STUDIED: Final = ("alexnet", "googlenet", "vgg16", "resnet50", "densenet121")
"""The backbones of the study, which are the default."""

NAME: Final = re.compile(r"[A-Za-z0-9_]{1,64}")


def check_name(name: str) -> str:
    """Return the name of a backbone if it is made as torchvision's names are.

    Raises:
        UserError: it is empty, longer than 64 characters, or holds another character than a
            letter, a digit or _.
    """
    if not NAME.fullmatch(name):
        raise UserError(
            f"{quote(name)} is not the name of a backbone; allowed are torchvision's names, made "
            f"of letters, digits and _, such as densenet121"
        )
    return name
