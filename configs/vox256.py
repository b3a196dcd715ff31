"""Talking faces: VoxCeleb at 256 x 256, the official `config/vox-256.yaml`.

Paper: Zhao and Zhang, Thin-Plate Spline Motion Model for Image Animation, CVPR 2022
  (arXiv 2203.14367).
Data: VoxCeleb, cut into face clips at 256 x 256 by AliaksandrSiarohin/video-preprocessing.
Expected: Table 1 of the paper gives the published L1, AKD and AED of this data set.
Weights: `vox.pth.tar` of the official repository.

  python convert_torch_weights.py --checkpoint vox.pth.tar --config configs/vox256.py \
      --output checkpoints/vox
"""

from ml_collections import ConfigDict

from configs.base import get_base_config


def get_config() -> ConfigDict:
    """The settings of the VoxCeleb model."""
    config = get_base_config()
    config.dataset.path = "../vox"

    config.train_params.num_repeats = 75
    config.train_params.dropout_maxp = 0.3
    config.train_params.dropout_startp = 0.1
    config.train_params.bg_start = 10

    config.train_avd_params.num_epochs = 200
    config.train_avd_params.num_repeats = 300
    config.train_avd_params.checkpoint_freq = 50
    config.train_avd_params.epoch_milestones = (140, 180)
    return config
