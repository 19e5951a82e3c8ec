"""From the bytes of image files to one array: decode, resize, in shards, by many workers."""
