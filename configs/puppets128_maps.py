"""The background predictor of puppets128, on random maps of single frames.

Paper: none; from the colors of two frames it learns nothing or follows the figure, see
  docs/ablations.md.
Data: that of configs/puppets128.py, random squares of it: twice the speed, and easier to learn.
Loss: `bg_equivariance` alone; beside `bg_points`, learning does not begin.
Expected: the corners of a picture within one pixel of where the map has them.

  python train.py --config configs/puppets128_maps.py --workdir runs/puppets128_maps
"""

from ml_collections import ConfigDict

from configs import puppets128


def get_config() -> ConfigDict:
    """The settings of the background predictor's first training."""
    config = puppets128.train_alone("bg_predictor", bg_equivariance=10)
    config.init_from = "runs/puppets128_points"
    config.init_networks = ("kp_detector",)
    config.image_size = (64, 64)
    config.dataset_params.augmentation_params.crop_param.size = (64, 64)

    train = config.train_params
    train.batch_size = 32
    train.num_repeats = 16  # 500 steps an epoch
    train.num_epochs = 7
    train.epoch_milestones = (5,)
    train.lr_generator = 2.0e-3
    return config
