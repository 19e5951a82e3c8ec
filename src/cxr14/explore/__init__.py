"""What is in the records: the study's tables and figures."""
