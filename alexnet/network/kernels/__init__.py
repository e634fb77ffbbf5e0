"""Kernels for processors (Numba) and GPUs (Triton)."""
