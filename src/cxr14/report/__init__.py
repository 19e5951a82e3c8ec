"""The summary table and a page."""
