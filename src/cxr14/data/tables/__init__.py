"""NIH's tables and lists as data frames; every oddity is met by a rule and counted."""
