"""Weights of VGG-19 as torchvision names them."""

import numpy as np


def vgg19_checkpoint():
    """All of torchvision's, with few of the numbers: the large arrays share their memory."""
    channels = [64, 64, 128, 128, 256, 256, 256, 256] + [512] * 8
    indices = [0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34]
    state = {}
    for index, before, after in zip(indices, [3, *channels], channels, strict=False):
        weight = np.arange(after, dtype=np.float32).reshape(after, 1, 1, 1)
        state[f"features.{index}.weight"] = np.broadcast_to(weight, (after, before, 3, 3))
        state[f"features.{index}.bias"] = np.full(after, index, np.float32)
    state["classifier.0.weight"] = np.broadcast_to(np.float32(0), (4096, 25088))
    return state
