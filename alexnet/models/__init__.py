"""A trained network as a folder: its card, reading and writing it, finding it, starting from it."""
