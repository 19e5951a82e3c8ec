"""Predictions of held-out images."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from cxr14.evaluation.predict import held_out, predict_logits
from cxr14.evaluation.predictions import logit_columns, prediction_table, probability_columns
from cxr14.labels import CLASSES
from cxr14.models.inference import prepare

INDEX = pd.DataFrame({"row": [0, 1, 2, 3], "image": ["d.png", "b.png", "c.png", "a.png"]})
SPLIT = pd.DataFrame(
    {
        "image": ["a.png", "b.png", "c.png", "d.png", "e.png"],
        "patient": [1, 2, 3, 4, 5],
        "split": ["test", "train", "val", "test", "test"],
    }
)


class Means(nn.Module):
    """Fifteen multiples of an image's mean."""

    classes = CLASSES

    def forward(self, images):
        return images.mean(dim=(1, 2, 3))[:, None] * torch.arange(15.0, device=images.device)


def test_held_out_images_are_those_of_val_and_test_with_pixels():
    table = held_out(INDEX, SPLIT)
    assert table.to_dict("list") == {
        "row": [3, 2, 0],
        "image": ["a.png", "c.png", "d.png"],
        "split": ["test", "val", "test"],
    }


def test_a_cached_image_that_the_split_does_not_know_is_named():
    with pytest.raises(ValueError, match=r"1 image\(s\) are not in .*a\.png"):
        held_out(INDEX, SPLIT[SPLIT["image"] != "a.png"])


@pytest.mark.parametrize("batch_size", [1, 2, 16])
def test_logits_follow_the_rows_whatever_the_batch(batch_size):
    images = np.random.default_rng(0).integers(0, 256, (5, 32, 32), dtype=np.uint8)
    rows = np.array([4, 0, 3])
    logits = predict_logits(Means().eval(), images, rows, 16, batch_size)
    expected = Means()(prepare(torch.from_numpy(images[rows]), 16)).numpy()
    assert logits.dtype == np.float32
    assert logits == pytest.approx(expected, abs=1e-5)


def test_the_table_holds_logits_and_probabilities_by_class():
    logits = np.zeros((3, 15), np.float32)
    logits[1, 0], logits[2, 0] = 200, -200
    table = prediction_table(held_out(INDEX, SPLIT), logits)
    logit, probability = logit_columns(CLASSES), probability_columns(CLASSES)
    assert list(table) == ["image", "split", *logit, *probability]
    assert table["probability Atelectasis"].tolist() == [0.5, 1.0, 0.0]
    assert (table[logit + probability].dtypes == np.float32).all()


def test_a_network_that_answers_nan_is_refused_by_name():
    logits = np.zeros((3, 15), np.float32)
    logits[1, 4] = np.nan
    with pytest.raises(ValueError, match=r"1 of 3 images, first c\.png.*learning_rate"):
        prediction_table(held_out(INDEX, SPLIT), logits)


def test_a_network_of_fewer_classes_has_columns_of_those():
    network = Means()
    network.classes = ("Mass", "Hernia")
    network.forward = lambda images: Means.forward(network, images)[:, 1:3]
    images = np.full((4, 32, 32), 200, np.uint8)
    logits = predict_logits(network.eval(), images, np.array([3, 2, 0]), 16, 2)
    assert logits.shape == (3, 2)
    table = prediction_table(held_out(INDEX, SPLIT), logits, network.classes)
    names = [f"{kind} {name}" for kind in ("logit", "probability") for name in network.classes]
    assert list(table) == ["image", "split", *names]
