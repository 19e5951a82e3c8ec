"""What importing the reader of tables loads of other packages."""

from tests.loaded import loaded


def test_pandera_is_loaded_only_when_a_table_is_read():
    """It takes a second to import; --help of a stage need not wait for it."""
    assert loaded(["cxr14.datasets.image_table", "stages.train"], ["pandera"]) == set()
