"""Image sources, tables, records, split: from raw files to one row per image."""
