"""The app in the browser: predictions, heatmaps and boxes of one radiograph at a time."""
