"""Stage 7: the paper's figures from a run's own numbers, and the report that shows them."""
