"""Networks beside each other, beside an earlier run, and by group of patients."""
