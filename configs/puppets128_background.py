"""The background predictor of puppets128, trained alone on the drawn motion of the camera.

Paper: none; from the colors alone, the predictor learns nothing or follows the figure, see
  docs/ablations.md.
Data: that of configs/puppets128.py, with points of the background that are drawn along with it.
Loss: `bg_points`, and `bg_equivariance` on random maps of one picture, which is learned quickly.
Expected: background points within 0.02 (one pixel) of the drawn ones on average.

  python train.py --config configs/puppets128_background.py --workdir runs/puppets128_background
"""

from ml_collections import ConfigDict

from configs import puppets128


def get_config() -> ConfigDict:
    """The settings of the background predictor's training."""
    config = puppets128.get_config()
    config.init_from = "runs/puppets128_points"
    config.init_networks = ("kp_detector",)
    config.freeze = ("kp_detector", "dense_motion_network", "inpainting_network")
    config.picture_every = 0

    train = config.train_params
    train.num_epochs = 40  # 500 steps each
    train.epoch_milestones = (30, 37)
    train.lr_generator = 2.0e-3
    train.loss_weights = ConfigDict(
        {
            "perceptual": (0,),
            "equivariance_value": 0,
            "warp_loss": 0,
            "bg": 0,
            "bg_points": 10,
            "bg_equivariance": 10,
        }
    )
    return config
