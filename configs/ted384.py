"""Speakers on a stage: TED-talks at 384 x 384, the official `config/ted-384.yaml`.

Paper: Zhao and Zhang, Thin-Plate Spline Motion Model for Image Animation, CVPR 2022
  (arXiv 2203.14367).
Data: TED-talks at 384 x 384, prepared by the instructions of snap-research/articulated-animation
  (MRAA).
Expected: Table 1 of the paper gives the published figures of this data set. There, L1 is slightly
  worse than MRAA's, while AKD and MKR are clearly better.
Weights: `ted.pth.tar` of the official repository.

  python convert_torch_weights.py --checkpoint ted.pth.tar --config configs/ted384.py \
      --output checkpoints/ted
"""

from ml_collections import ConfigDict

from configs.base import get_base_config


def get_config() -> ConfigDict:
    """The settings of the TED-talks model."""
    config = get_base_config()
    config.image_size = (384, 384)
    config.dataset.path = "../TED384-v2"

    config.train_params.batch_size = 12
    config.train_params.dataloader_workers = 6

    config.train_avd_params.num_epochs = 30
    config.train_avd_params.num_repeats = 500
    config.train_avd_params.epoch_milestones = (20, 25)
    return config
