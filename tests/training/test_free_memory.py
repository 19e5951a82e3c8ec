"""Images are kept on the device up to a share of the memory that is free there."""

import numpy as np
import psutil
import torch

from cxr14.training import dataset
from cxr14.training.dataset import SHARE, Resident, Streamed, free_bytes, load
from tests.datasets.arrays import halved, pictures


def test_images_stay_on_the_device_up_to_a_share_of_its_free_memory(monkeypatch):
    needed = 10 * 3**2
    for free, kind in ((needed / SHARE + 1, Resident), (needed / SHARE - 1, Streamed)):
        monkeypatch.setattr(dataset, "free_bytes", lambda device, free=free: free)
        source = load(pictures(), np.arange(10), 3, "cpu", halved)
        assert isinstance(source, kind)
        assert next(source.batches(torch.tensor([4]), 1)).shape == (1, 3, 3)


def test_the_free_memory_of_a_cpu_is_what_the_machine_has_left():
    assert 0 < free_bytes("cpu") < psutil.virtual_memory().total


def test_processes_that_share_a_machine_share_its_memory(monkeypatch):
    """Each used to take what there was for one: two of them, with train and validation, too much."""
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "1000")
    assert free_bytes("cpu") < psutil.virtual_memory().total / 1000
