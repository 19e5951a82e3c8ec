"""NIH's tables and lists as data frames; every data issue is handled by a rule and listed."""
