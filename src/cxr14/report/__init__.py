"""The summary table and the results page."""
