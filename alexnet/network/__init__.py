"""The eight layers: one table, the network built from it, its kernels."""

from alexnet.network.alexnet import AlexNet
from alexnet.network.memory import keep_memory

__all__ = ["AlexNet", "keep_memory"]
