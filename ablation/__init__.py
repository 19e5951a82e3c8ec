"""Do weighting and pooling matter? Experiments through DVC's queue, compared pair by pair.

Outside the graph: no stage depends on it. `python -m ablation --help`, or `make ablation`.
"""

import stages  # noqa: F401  (puts this checkout's src on the path)
