"""Ablation of loss weighting and pooling: experiments in DVC's queue, paired comparisons.

Outside the graph: no stage depends on it. `python -m ablation --help`, or `make ablation`.
"""

import stages  # noqa: F401  (puts this checkout's src on the path)
