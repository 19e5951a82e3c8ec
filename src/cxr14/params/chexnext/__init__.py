"""chexnext/params.yaml, one module per block; the blocks of params.yaml lie a folder above."""

FILE = "chexnext/params.yaml"
