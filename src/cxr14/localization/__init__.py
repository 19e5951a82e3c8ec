"""From heatmap to boxes to IoBB."""
