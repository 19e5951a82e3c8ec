"""From raw bytes to one array: sources, records, split, preprocess, cache."""
