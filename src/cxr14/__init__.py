"""cxr14: reproducible machine learning on NIH ChestX-ray14."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("cxr14")
except PackageNotFoundError:  # a copy of the source, as in a registered model
    __version__ = "unknown"
