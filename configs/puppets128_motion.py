"""The motion of puppets128: which part of a figure each spline moves, before anything is painted.

Paper: none; its losses leave the arms without a spline, see docs/ablations.md.
Data: that of configs/puppets128.py.
Expected: every spline has a part of the body after a few hundred steps.

  python train.py --config configs/puppets128_motion.py --workdir runs/puppets128_motion
"""

from ml_collections import ConfigDict

from configs import puppets128


def get_config() -> ConfigDict:
    """The settings of the training of the motion."""
    config = puppets128.get_config()
    config.init_from = "runs/puppets128_background"
    config.init_networks = ("kp_detector", "bg_predictor")
    config.freeze = ("kp_detector", "bg_predictor", "inpainting_network")
    config.picture_every = 0  # nothing is painted yet

    train = config.train_params
    train.num_epochs = 8  # 500 steps each
    train.epoch_milestones = (5, 7)
    train.loss_weights.perceptual = (0,)
    train.loss_weights.warp_loss = 0
    return config
