"""The stages of chexnext/dvc.yaml: ``python -m stages.chexnext.NAME --help``."""
