"""Data sources of the tests."""

from cxr14.datasets.records import Source

PHANTOM = Source("phantom", phantom=True, official_split=False)
OFFICIAL = Source("nih", phantom=False, official_split=True)
OWN_SPLIT = Source("folder", phantom=False, official_split=False)
