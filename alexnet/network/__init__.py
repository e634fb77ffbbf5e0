"""The eight layers: one table, the network built from it, its kernels, its weight files."""

from alexnet.models.folder import ModelCard, load_model, save_model
from alexnet.network.alexnet import AlexNet
from alexnet.network.memory import keep_memory

__all__ = ["AlexNet", "ModelCard", "keep_memory", "load_model", "save_model"]
