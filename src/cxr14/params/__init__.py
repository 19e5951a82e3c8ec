"""params.yaml, one module per block; nothing else reads YAML."""
