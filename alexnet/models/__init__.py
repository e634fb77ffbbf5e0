"""A trained network as a folder: its card, reading and writing it, finding it, starting from it."""

from alexnet.models.card import ModelCard
from alexnet.models.find import FoundModel, find_model
from alexnet.models.folder import load_model, save_model

__all__ = ["FoundModel", "ModelCard", "find_model", "load_model", "save_model"]
