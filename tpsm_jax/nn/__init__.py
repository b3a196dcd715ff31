"""Layers, named after the tensors of the official checkpoints."""
