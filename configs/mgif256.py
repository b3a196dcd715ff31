"""Cartoon animals: MGif at 256 x 256, the official `config/mgif-256.yaml`.

Paper: Zhao and Zhang, Thin-Plate Spline Motion Model for Image Animation, CVPR 2022
  (arXiv 2203.14367).
Data: MGif (moving GIFs on white), prepared by the instructions of AliaksandrSiarohin/monkey-net.
  There is no background to predict, so the weights have no `bg_predictor`.
Expected: Table 1 of the paper gives the published L1 of this data set.
Weights: `mgif.pth.tar` of the official repository.

  python convert_torch_weights.py --checkpoint mgif.pth.tar --config configs/mgif256.py \
      --output checkpoints/mgif
"""

from ml_collections import ConfigDict

from configs.base import get_base_config


def get_config() -> ConfigDict:
    """The settings of the MGif model."""
    config = get_base_config()
    config.dataset.path = "../moving-gif"
    config.dataset_params.id_sampling = False
    config.dataset_params.augmentation_params = ConfigDict(
        {
            "flip_param": {"horizontal_flip": True, "time_flip": True},
            "crop_param": {"size": (256, 256)},
            "resize_param": {"ratio": (0.9, 1.1)},
            "jitter_param": {"hue": 0.5},
        }
    )

    config.model_params.common_params.bg = False

    config.train_params.num_repeats = 50
    config.train_params.dropout_startp = 0.2

    config.train_avd_params.num_repeats = 50
    config.train_avd_params.lambda_affine = 1
    return config
