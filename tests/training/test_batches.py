"""Batches of cached images: resident and streamed ones are the same."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr14.io import write_npy
from cxr14.training import dataset
from cxr14.training.dataset import Resident, Streamed
from tests.datasets.arrays import halved, pictures


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_resident_and_streamed_images_come_in_the_same_batches(data):
    """Everything is kept until the end, so a reused buffer that was handed out would show."""
    images = pictures(data.draw(st.integers(1, 9)))
    rows = np.array(data.draw(st.lists(st.integers(0, len(images) - 1), min_size=1, max_size=12)))
    places = st.integers(0, len(rows) - 1)
    order = torch.tensor(data.draw(st.lists(places, max_size=20)), dtype=torch.int64)
    size = data.draw(st.integers(1, 7))
    streamed = Streamed(images, rows, "cpu", halved)
    resident = Resident(streamed, 3)
    assert len(streamed) == len(resident) == len(rows)
    found = [list(source.batches(order, size)) for source in (resident, streamed)]
    expected = images[rows[order.numpy()]][:, ::2, ::2]
    for given_out in found:
        lengths = [len(batch) for batch in given_out]
        assert lengths == [len(order[at : at + size]) for at in range(0, len(order), size)]
        if given_out:
            assert (torch.cat(given_out).numpy() == expected).all()


def test_images_are_brought_over_in_several_goes(monkeypatch):
    monkeypatch.setattr(dataset, "LOAD_BATCH", 5)
    images, rows = pictures(), np.array([3, 1, 11, 0, 4, 4, 7])
    assert (Resident(Streamed(images, rows, "cpu"), 6).images.numpy() == images[rows]).all()


def test_a_mapped_file_is_read_batch_by_batch(tmp_path):
    write_npy(tmp_path / "images.npy", pictures())
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    streamed = Streamed(mapped, np.arange(12)[::-1].copy(), "cpu")
    assert streamed.images is mapped
    found = torch.cat(list(streamed.batches(torch.arange(12), 5)))
    assert (found.numpy() == pictures()[::-1]).all()


@pytest.mark.parametrize("row", [-1, 12])
def test_a_row_beyond_the_cache_is_refused(row):
    with pytest.raises(ValueError, match=rf"there is no row {row}; the cache has 12 rows"):
        Streamed(pictures(), np.array([0, row]), "cpu")
