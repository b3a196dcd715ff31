r"""Puppets (cartoon figures) at 128 x 128: the model that the package ships.

Paper: Zhao and Zhang, Thin-Plate Spline Motion Model for Image Animation, CVPR 2022
  (arXiv 2203.14367).
Data: `data/puppets` draws it into `dataset.path` the first time; nothing is downloaded.
Model: narrow, with the paper's ten splines, motion estimated at half the picture's size.
Loss: pixels at four scales replace VGG-19's features; `contribution` keeps splines at their parts.
Expected: see the model's card, tpsm_jax/shipped/puppets/README.md.
Start: a keypoint detector and a background predictor that were trained on drawn points and stay
  as they are; and a motion that was trained before anything is painted.

  python train.py --config configs/puppets128_points.py --workdir runs/puppets128_points
  python train.py --config configs/puppets128_maps.py --workdir runs/puppets128_maps
  python train.py --config configs/puppets128_background.py --workdir runs/puppets128_background
  python train.py --config configs/puppets128_motion.py --workdir runs/puppets128_motion
  python train.py --config configs/puppets128.py --workdir runs/puppets128 \
    --config.init_from=runs/puppets128_motion --config.freeze="('kp_detector','bg_predictor')"
"""

from ml_collections import ConfigDict

from configs.base import get_base_config
from configs.puppets64 import narrow_networks


def get_config() -> ConfigDict:
    """The settings of the shipped model; two are flags of the last command above."""
    config = get_base_config()
    config.image_size = (128, 128)
    config.checkpoint_every = 250
    config.picture_every = 500
    config.keep_checkpoints = 1
    config.ema_decay = 0.998
    config.perceptual_features = "pixels"

    config.dataset.path = "runs/puppets128_clips"
    data = config.dataset_params
    data.puppets.clips, data.puppets.frames, data.puppets.size = 1000, 40, 128
    data.id_sampling = False
    data.augmentation_params.flip_param.horizontal_flip = False  # splines know left from right

    model = config.model_params
    model.kp_detector_params.width = 32
    narrow_networks(model)
    model.dense_motion_params.block_expansion = 24
    model.generator_params.block_expansion = 16
    model.generator_params.max_features = 128

    train = config.train_params
    train.batch_size = 8
    train.num_repeats = 4  # 500 steps an epoch
    train.num_epochs = 8
    train.epoch_milestones = (6, 7)
    train.lr_generator = 1.0e-3
    train.dataloader_workers = 2
    train.dropout_epoch = 0  # the splines have parts of their own from the start
    train.loss_weights.perceptual = (50,)
    train.loss_weights.equivariance_value = 0
    train.loss_weights.contribution = 10
    return config


def train_alone(network: str, **weights: float) -> ConfigDict:
    """The settings above, for one network by itself.

    Args:
      network: its name; the others are frozen.
      **weights: the weights of its losses; those of all others are 0.
    """
    config = get_config()
    networks = ("kp_detector", "dense_motion_network", "inpainting_network", "bg_predictor")
    config.freeze = tuple(name for name in networks if name != network)
    config.picture_every = 0
    config.train_params.loss_weights = ConfigDict(
        {"perceptual": (0,), "equivariance_value": 0, "warp_loss": 0, "bg": 0, **weights}
    )
    return config
