"""Weights of other programs: Caffe's, cuda-convnet's, torchvision's, read into the network and back."""

from alexnet.network.exchange.imported import Imported
from alexnet.network.exchange.read import read_foreign

__all__ = ["Imported", "read_foreign"]
