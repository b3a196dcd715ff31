"""ResNet-18 with torchvision's names and a last linear layer of any size."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import linen as nn

from tpsm_jax.backends.max_pool import max_pool
from tpsm_jax.nn.batch_norm import BatchNorm
from tpsm_jax.nn.layers import Dtype, conv, linear

kaiming_normal = jax.jit(  # for why it is jitted, see `layers._uniform`
    nn.initializers.variance_scaling(2.0, "fan_out", "normal"), static_argnums=(1, 2)
)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut, which is a 1x1 convolution where the shape changes."""

    features: int
    strides: int = 1
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False) -> jax.Array:
        channels, features = x.shape[-1], self.features
        layer = functools.partial(
            conv, use_bias=False, kernel_init=kaiming_normal, dtype=self.dtype
        )
        out = layer(channels, features, 3, strides=self.strides, name="conv1")(x)
        out = nn.relu(BatchNorm(self.dtype, name="bn1")(out, train=train))
        out = layer(features, features, 3, name="conv2")(out)
        out = BatchNorm(self.dtype, name="bn2")(out, train=train)
        if self.strides != 1 or channels != features:
            x = layer(channels, features, 1, strides=self.strides, name="downsample_0")(x)
            x = BatchNorm(self.dtype, name="downsample_1")(x, train=train)
        return nn.relu(out + x)


class ResNet18(nn.Module):
    """torchvision's resnet18, for any number of input channels.

    Attributes:
      outputs: size of the last linear layer.
      width: features of the first layer, 64 in torchvision's; each later layer doubles them.
      blocks: blocks in each of the four layers, 2 in torchvision's.
      stem_init: initializer of the first convolution's kernel; torchvision's by default, which all
        other convolutions have.
      kernel_init: initializer of the last linear layer's kernel; PyTorch's default if None.
      bias_init: initializer of its bias; PyTorch's default if None.
      dtype: type to compute convolutions in; the last layer is float32.
    """

    outputs: int
    width: int = 64
    blocks: int = 2
    stem_init: Callable[..., jax.Array] = kaiming_normal
    kernel_init: Callable[..., jax.Array] | None = None
    bias_init: Callable[..., jax.Array] | None = None
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False) -> jax.Array:
        """Args: x: [B, H, W, C]. train: use batch statistics. Returns: [B, outputs] float32."""
        x = conv(
            x.shape[-1],
            self.width,
            7,
            strides=2,
            use_bias=False,
            kernel_init=self.stem_init,
            dtype=self.dtype,
            name="conv1",
        )(x)
        x = nn.relu(BatchNorm(self.dtype, name="bn1")(x, train=train))
        x = max_pool(x, 3, padding=1)
        for layer in range(1, 5):
            features = self.width * 2 ** (layer - 1)
            for block in range(self.blocks):
                strides = 2 if layer > 1 and block == 0 else 1
                name = f"layer{layer}_{block}"
                x = BasicBlock(features, strides, dtype=self.dtype, name=name)(x, train=train)
        x = jnp.mean(x.astype(jnp.float32), axis=(1, 2))
        return linear(
            x.shape[-1],
            self.outputs,
            kernel_init=self.kernel_init,
            bias_init=self.bias_init,
            name="fc",
        )(x)
