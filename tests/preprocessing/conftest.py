"""Pictures enough for several shards, and their cache: making them takes seconds."""

import pytest

from cxr14.datasets.manifest import list_images
from cxr14.preprocessing.fill import fill_cache
from cxr14.preprocessing.shards import SHARD
from tests.datasets.pictures import encode, noise, write_archive, write_loose
from tests.preprocessing.interrupted import COUNT, SIZE


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory):
    """Loose pictures for four shards, two archives, and their cache by an undisturbed run.

    Leave it as it is.
    """
    place = tmp_path_factory.mktemp("undisturbed")
    pngs = {f"{n:08d}_000.png": encode(noise(n, 300, 300)) for n in range(COUNT)}
    write_loose(place / "raw" / "images", pngs)
    for n in (1, 2):
        extra = {f"{n}{name[1:]}": content for name, content in list(pngs.items())[: SHARD // 2]}
        write_archive(place / "raw" / f"images_{n:03d}.tar.gz", extra)
    fill_cache(
        list_images(place / "raw").manifest, place / "raw", place / "cache", SIZE, place / "scratch"
    )
    return place
