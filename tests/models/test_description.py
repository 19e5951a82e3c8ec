"""What model.json must hold."""

import pytest

from cxr14.io import write_json, write_text
from cxr14.labels import CLASSES
from cxr14.models.serialization import normalisation, read_description

HEAD = {"transition_channels": 8, "pooling": "lse", "lse_r": 5, "output_stride": 16}
WHOLE = {
    "format": 1,
    "backbone": "alexnet",
    "input_size": 64,
    "head": HEAD,
    "classes": list(CLASSES),
    "normalisation": normalisation(),
    "weights_sha256": "0123456789abcdef" * 4,
    "best_epoch": 3,
}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.json"


def test_a_whole_description_comes_back_with_all_that_it_holds(path):
    write_json(path, WHOLE)
    assert read_description(path) == WHOLE


@pytest.mark.parametrize("key", sorted(WHOLE.keys() - {"best_epoch"}))
def test_a_missing_key_is_named_with_the_file(path, key):
    write_json(path, {name: value for name, value in WHOLE.items() if name != key})
    with pytest.raises(ValueError, match=rf"^\S*/model\.json: {key}: field required$"):
        read_description(path)


@pytest.mark.parametrize("key", sorted(HEAD))
def test_a_missing_key_of_the_head_is_named_too(path, key):
    write_json(path, WHOLE | {"head": {n: value for n, value in HEAD.items() if n != key}})
    with pytest.raises(ValueError, match=rf"model\.json: head\.{key}: field required$"):
        read_description(path)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"format": 2}, "format: input should be 1"),
        ({"input_size": "64"}, "input_size: input should be a valid integer"),
        (
            {"head": HEAD | {"pooling": "mean"}},
            "head.pooling: input should be 'avg', 'max' or 'lse'",
        ),
        ({"head": HEAD | {"output_stride": 8}}, "head.output_stride: input should be 32 or 16"),
        ({"head": HEAD | {"depth": 2}}, "head.depth: extra inputs are not permitted"),
        (
            {"classes": [*CLASSES[:-1], "Normal"]},
            "classes: should be some of our 15 classes, in their order",
        ),
        ({"classes": ["Nodule", "Mass"]}, "classes: should be some of our 15 classes, in their"),
        ({"classes": []}, "classes: should be some of our 15 classes, in their order"),
        (
            {"normalisation": {"mean": [0.5], "std": [0.5]}},
            "normalisation: should be {'mean': [0.485",
        ),
        ({"weights_sha256": "../evil"}, "weights_sha256: string should match"),
    ],
)
def test_an_unsuitable_value_is_named_with_what_is_allowed(path, change, sentence):
    write_json(path, WHOLE | change)
    with pytest.raises(ValueError, match=r"^\S*/model\.json: ") as caught:
        read_description(path)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", '{"format": 1', "[]", "null"])
def test_a_file_that_is_no_description_is_refused(path, text):
    write_text(path, text)
    with pytest.raises(ValueError, match=r"^\S*/model\.json(: the file: | is (empty|damaged))"):
        read_description(path)
