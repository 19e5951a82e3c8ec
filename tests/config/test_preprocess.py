"""The block `preprocess`: an engine and its scheduler belong together."""

import pytest

from cxr14.config.blocks import PreprocessParams
from cxr14.config.reader import ParamsError, check_block

GOOD = {"size": 224, "on_error": "fail", "workers": 0, "engine": "local", "scheduler": None}


def test_dask_with_an_address_and_local_without_are_taken():
    check_block("preprocess", PreprocessParams, GOOD, "params.yaml")
    dask = GOOD | {"engine": "dask", "scheduler": "tcp://127.0.0.1:8786"}
    assert check_block("preprocess", PreprocessParams, dask, "params.yaml").engine == "dask"


@pytest.mark.parametrize("change", [{"engine": "dask"}, {"scheduler": "tcp://127.0.0.1:8786"}])
def test_an_engine_without_its_scheduler_is_refused(change):
    with pytest.raises(ParamsError, match="scheduler is the address of engine dask"):
        check_block("preprocess", PreprocessParams, GOOD | change, "params.yaml")


def test_another_word_for_what_a_bad_image_does_is_refused():
    with pytest.raises(ParamsError, match=r"preprocess\.on_error = 'ignore'"):
        check_block("preprocess", PreprocessParams, GOOD | {"on_error": "ignore"}, "params.yaml")
