"""All measured thresholds that decide between the forms of an operation.

`python -m benchmarks.studies.convolutions` (with `--dtype bfloat16` for bfloat16) times the forms
of Winograd and of up-convolutions, `python -m benchmarks.train_step` whole training steps, and
`python -m benchmarks.studies.kernels --training` makes the profiles that name slow gradients.
docs/benchmarks.md has the tables. All were measured on CPUs with two cores; elsewhere nothing was
measured and the plain forms are used. Pixels are those of one picture, whatever the batch, so that
a frame is bit-identical in any batch; only `LARGE_PICTURE` counts the whole batch, in gradients.
"""

# Between these two pixel counts, inclusive, Winograd convolves in float32.
# Set by benchmarks.studies.convolutions.
WINOGRAD_PIXELS = (32 * 32, 128 * 128)

# From this many channels, both in and out, Winograd convolves in float32: with fewer it gains
# little and takes long to compile. Set by benchmarks.studies.convolutions and train_step.
WINOGRAD_CHANNELS = 256

# Between these two pixel counts, inclusive, Winograd convolves in bfloat16, for which XLA has fast
# matmuls (with AMX, where this was measured) but no convolution of its own.
# Set by benchmarks.studies.convolutions --dtype bfloat16.
BFLOAT16_WINOGRAD_PIXELS = (16 * 16, 128 * 128)

# From this many channels, both in and out, Winograd convolves in bfloat16.
# Set by benchmarks.studies.convolutions --dtype bfloat16.
BFLOAT16_WINOGRAD_CHANNELS = 128

# Up to this many input pixels, a bfloat16 convolution is one matmul, which is faster than Winograd.
# Set by benchmarks.studies.convolutions --dtype bfloat16.
BFLOAT16_MATMUL_PIXELS = 8 * 8

# Above this many input elements, those of the whole batch (not of one picture), compute the kernel
# gradient as a matmul. Set by profiles of benchmarks.studies.kernels --training.
LARGE_PICTURE = 2**17

# Above this many times the output's elements, a kernel is too large for XLA to transpose: compute
# the input gradient as matmuls. Set by profiles of benchmarks.studies.kernels --training.
LARGE_KERNEL = 32

# Up to this many output features, a convolution from many channels uses few_features.py: masks have
# 1, pictures 3, contribution maps 11. Set by profiles of benchmarks.studies.kernels --training.
FEW_FEATURES = 16

# From this many input pixels on, an up-convolution is a matmul with a folded kernel, by backend.
# Set by benchmarks.studies.convolutions.
UPSAMPLE_MATMUL_PIXELS = {"cpu": 64}
