"""Torchvision, imported without torch's compiler.

``torchvision.ops.roi_align`` imports ``torch._dynamo.utils`` for one function, which only the
networks of object detection call. Loading the compiler takes nearly as long as loading torch. Here
that function loads it when it is first called.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any

COMPILER = "torch._dynamo.utils"


class DeferredModule(ModuleType):
    """Stand-in for a module: its functions load that module when they are called."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """Return a function that calls the module's function of this name."""
        if name.startswith("__"):  # of the import system: the stand-in has none
            raise AttributeError(name)

        def call(*arguments: Any, **options: Any) -> Any:
            return getattr(import_module(self.__name__), name)(*arguments, **options)

        return call


@contextmanager
def deferred(name: str) -> Iterator[None]:
    """Let imports of the functions of a module succeed without it, unless it is loaded already."""
    if name in sys.modules:
        yield
        return
    sys.modules[name] = DeferredModule(name)
    try:
        yield
    finally:
        del sys.modules[name]


with deferred(COMPILER):
    import torchvision as torchvision
    from torchvision.models import VisionTransformer as VisionTransformer
    from torchvision.models import get_model as get_model
    from torchvision.models import get_model_builder as get_model_builder
    from torchvision.models import get_model_weights as get_model_weights
    from torchvision.models import list_models as list_models
