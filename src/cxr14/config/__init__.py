"""params.yaml and chexnext/params.yaml as checked values; nothing else reads them."""
