"""Predictions on files of a user: one predictor for the command, the app and the registered model.

It adds nothing to the pipeline's decoding, calibration and heatmaps: it applies them to new images.
"""
