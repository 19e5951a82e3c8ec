"""From the bytes of image files to one array: decode, shrink, in shards, by many workers."""
