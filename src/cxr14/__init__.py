"""cxr14: reproducible machine learning on NIH ChestX-ray14."""
