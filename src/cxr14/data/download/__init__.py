"""The real set, fetched from NIH or a mirror: what there is, and how it is brought here whole."""
