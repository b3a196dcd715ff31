"""VGG-19 features for the perceptual loss. Reference: `Vgg19` in modules/model.py."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from tpsm_jax.backends.max_pool import max_pool
from tpsm_jax.nn.layers import Dtype, conv

# torchvision's layout: convolutions at these places of `features`, a relu after each, and a
# 2x2 max pooling where the numbers jump by 3.
_CONVOLUTIONS = {
    0: 64, 2: 64,
    5: 128, 7: 128,
    10: 256, 12: 256, 14: 256, 16: 256,
    19: 512, 21: 512, 23: 512, 25: 512,
    28: 512,
}  # fmt: skip
_RETURNED = (0, 5, 10, 19, 28)  # relu1_1, relu2_1, relu3_1, relu4_1, relu5_1
_MEAN = np.array([0.485, 0.456, 0.406], np.float32).reshape(1, 1, 1, 3)
_STD = np.array([0.229, 0.224, 0.225], np.float32).reshape(1, 1, 1, 3)


# Side in pixels of the smallest picture that the four poolings leave something of.
SMALLEST = 16


class VGG19(nn.Module):
    """The part of VGG-19 up to relu5_1.

    Attributes:
      dtype: type to compute convolutions in.
    """

    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array) -> list[jax.Array]:
        """Computes the five feature maps.

        Args:
          images: [B, H, W, 3] in [0, 1]; ImageNet's mean and deviation are applied here.

        Returns:
          relu1_1, relu2_1, relu3_1, relu4_1, relu5_1, each [B, h, w, C].
        """
        x = (images - _MEAN) / _STD
        features = []
        previous = 0
        for index, channels in _CONVOLUTIONS.items():
            if index - previous == 3:
                x = max_pool(x, 2)
            layer = conv(x.shape[-1], channels, 3, dtype=self.dtype, name=f"features_{index}")
            x = nn.relu(layer(x))
            if index in _RETURNED:
                features.append(x)
            previous = index
        return features
