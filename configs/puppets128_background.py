"""The background predictor of puppets128, on the drawn motion of the camera.

Paper: none; see docs/ablations.md.
Data: that of configs/puppets128.py, with points of the background that are drawn along with it.
Loss: `bg_points` alone: with maps between, batch normalization's running statistics fit neither.
Expected: background points within 0.7 pixels of 128 of the drawn ones where the camera moves.

  python train.py --config configs/puppets128_background.py --workdir runs/puppets128_background
"""

from ml_collections import ConfigDict

from configs import puppets128


def get_config() -> ConfigDict:
    """The settings of the background predictor's second training."""
    config = puppets128.train_alone("bg_predictor", bg_points=10)
    config.init_from = "runs/puppets128_maps"
    config.init_networks = ("kp_detector", "bg_predictor")
    config.ema_decay = 0.0  # the running statistics are not those of averaged weights

    train = config.train_params
    train.num_epochs = 18  # 500 steps each
    train.epoch_milestones = (11, 15)
    train.lr_generator = 1.0e-3
    return config
