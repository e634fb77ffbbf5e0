"""One look for every figure, and the figures."""
