"""Whole bodies: TaiChiHD at 256 x 256, the official `config/taichi-256.yaml`.

Paper: Zhao and Zhang, Thin-Plate Spline Motion Model for Image Animation, CVPR 2022
  (arXiv 2203.14367).
Data: TaiChiHD, cut into clips at 256 x 256 by AliaksandrSiarohin/video-preprocessing.
Expected: Table 1 of the paper (video reconstruction, full model): L1 0.045, AKD 4.57,
  MKR 0.018, AED 0.151.
Weights: `taichi.pth.tar` of the official repository.

  python convert_torch_weights.py --checkpoint taichi.pth.tar --config configs/taichi256.py \
      --output checkpoints/taichi
"""

from ml_collections import ConfigDict

from configs.base import get_base_config


def get_config() -> ConfigDict:
    """The settings of the TaiChiHD model."""
    config = get_base_config()
    config.dataset.path = "../taichi"

    config.train_params.dropout_maxp = 0.7
    return config
