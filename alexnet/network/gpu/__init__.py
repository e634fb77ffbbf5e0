"""What the network runs on a GPU: Triton kernels, and the fastest way to convolve each shape.

No kernel is imported before a tensor on a GPU asks for it, so a CPU needs no Triton.
"""

from importlib.util import find_spec

HAS_TRITON = find_spec("triton") is not None  # without it, PyTorch's own operations are used
