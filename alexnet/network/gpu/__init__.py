"""What the network runs on a GPU: Triton kernels, and the fastest way to convolve each shape.

Nothing here is imported before a tensor on a GPU asks for it, so a CPU needs no Triton.
"""
