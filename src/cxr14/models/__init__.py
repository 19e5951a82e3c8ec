"""Backbones and the head on them, weights from and to files."""
