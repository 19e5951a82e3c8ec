"""Baseline, backbones and the head put on them."""
