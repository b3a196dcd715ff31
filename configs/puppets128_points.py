"""The keypoint detector of puppets128, trained alone on the drawn points of each body part.

Paper: none; unsupervised training finds thin arms only after many more samples.
Data: that of configs/puppets128.py, with the points that are drawn along with it.
Expected: keypoints within 0.03 (two pixels) of the drawn points on average.

  python train.py --config configs/puppets128_points.py --workdir runs/puppets128_points
"""

from ml_collections import ConfigDict

from configs import puppets128


def get_config() -> ConfigDict:
    """The settings of the detector's training."""
    config = puppets128.train_alone("kp_detector", keypoints=10)
    config.model_params.kp_detector_params.spread_points = True

    train = config.train_params
    train.batch_size = 16
    train.num_epochs = 10  # 250 steps each
    train.epoch_milestones = (7, 9)
    train.lr_generator = 1.0e-3
    return config
