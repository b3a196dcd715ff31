"""Puppets (cartoon figures) at 64 x 64: the demo's model, trained on two CPU cores in minutes.

Paper: Zhao and Zhang, Thin-Plate Spline Motion Model for Image Animation, CVPR 2022
  (arXiv 2203.14367).
Data: `data/puppets` draws it into `dataset.path` the first time; nothing is downloaded.
Model: narrow, with five splines, whose points start spread over the picture.
Loss: pixels at four scales replace VGG-19's features.
Expected: the body of a puppet that training has not seen moves like another one, after ten to
  fifteen minutes on two CPU cores.

  python train.py --config configs/puppets64.py --workdir runs/puppets64
"""

from ml_collections import ConfigDict

from configs.base import get_base_config


def get_config() -> ConfigDict:
    """The settings of the demo."""
    config = get_base_config()
    config.image_size = (64, 64)
    config.checkpoint_every = 0  # only at the end of an epoch
    config.picture_every = 300
    config.keep_checkpoints = 1
    config.ema_decay = 0.995
    config.perceptual_features = "pixels"

    config.dataset.path = "runs/puppets64_clips"
    data = config.dataset_params
    data.puppets.clips, data.puppets.frames, data.puppets.size = 200, 40, 64
    data.id_sampling = False

    model = config.model_params
    model.common_params.num_tps = 5
    model.kp_detector_params.width = 16
    model.kp_detector_params.spread_points = True
    narrow_networks(model)

    train = config.train_params
    train.batch_size = 8
    train.num_repeats = 12  # 300 steps an epoch
    train.num_epochs = 6
    train.epoch_milestones = (5,)
    train.lr_generator = 1.0e-3
    train.dataloader_workers = 2
    # Without dropout, two of the splines do all the work.
    train.dropout_epoch = 4
    train.dropout_startp = 0.3
    train.dropout_maxp = 0.3
    train.loss_weights.perceptual = (50,)

    avd = config.train_avd_params
    avd.batch_size = 32
    avd.num_repeats = 16
    avd.num_epochs = 10
    avd.epoch_milestones = (7, 9)
    avd.dataloader_workers = 2
    return config


def narrow_networks(model: ConfigDict) -> None:
    """Sets all networks but the detector to sizes that two CPU cores train, in `model_params`."""
    model.bg_predictor_params.width = 16
    model.generator_params.block_expansion = 8
    model.generator_params.max_features = 64
    model.dense_motion_params.block_expansion = 16
    model.dense_motion_params.max_features = 128
    model.dense_motion_params.num_blocks = 3
    model.dense_motion_params.scale_factor = 0.5  # arms are thin: two pixels of 64
