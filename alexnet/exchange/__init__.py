"""Weights of other programs: Caffe's, cuda-convnet's, torchvision's, read into the network and back."""

from alexnet.exchange.imported import Imported
from alexnet.exchange.read import read_foreign

__all__ = ["Imported", "read_foreign"]
