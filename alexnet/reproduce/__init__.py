"""Stage 8: the paper's claims, the experiments that test them, and what these show."""
