"""What the network runs on a GPU: Triton kernels, and the fastest way to convolve each shape.

No kernel is imported before a tensor on a GPU asks for it, so a CPU needs no Triton.
"""

from importlib.util import find_spec

import torch

# Without it, or with one older than 3.3, which comes with PyTorch 2.7, PyTorch's own operations are used.
HAS_TRITON = find_spec("triton") is not None and torch.__version__ >= "2.7"
