"""Stage 8: the report of a run, one HTML file of its numbers and figures."""
