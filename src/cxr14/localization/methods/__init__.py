"""Saliency methods, one a file: transition maps and head to a heatmap per class.

Each is called with a network, of which it uses the head alone, maps (B, T, h, w) after a ReLU, and
C positions among the classes, and returns (B, C, h, w).
"""
