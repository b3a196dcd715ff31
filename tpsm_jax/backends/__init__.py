"""Faster forms of operations for one machine, each equal in value to a plain XLA form.

Every operation has one public function that chooses a form by `backend.backend()` and by
`thresholds`. Where that is 'plain' (`TPSM_PLAIN=1`), it always chooses the plain form:

    operation                              plain form
    convolution.convolve                   plain_convolution.convolve_plain
    upsample_conv.upsample_conv            upsample_conv.upsample_then_convolve
    scale_channels.scale_channels          scale_channels.scale_channels_plain
    linear_solve.solve                     linear_solve.solve_plain
    max_pool.max_pool                      max_pool.max_pool_plain

Two choices of operations stand where they are used, because they are plain themselves and no slower
anywhere: `nn.blocks.DownBlock` takes a mean over axes, and `ops.grid_sample` gives each sample
outside the picture a pixel of its own.
"""
