"""From heatmaps to boxes, IoBB and IoU."""
