"""What every config shares. Each file next to this one sets only what differs.

Sections and fields have the names of the official YAML files, so the two can be read side by side.
Any field can be set on the command line: `--config.FIELD=VALUE`. A field that is None is unset.

No code reads these fields; they are here because the official files have them:
`visualizer_params`, `checkpoint_freq` (see `checkpoint_every`) and MGif's `lambda_affine`.

These fields are not in the official files: those outside the sections, the section `dataset`,
`dataset_params.puppets`, `keypoints`, `bg_points`, `bg_equivariance` and `contribution` of
`train_params.loss_weights`, and
`family`, `kp_detector_params`, `bg_predictor_params` and `dense_motion_params.warps` of
`model_params`. With the values below, training does what the official code does.
"""

from ml_collections import ConfigDict, config_dict


def get_base_config() -> ConfigDict:
    """The shared settings: 256 x 256 RGB, 10 splines, the published training schedule.

    Returns:
      A ConfigDict with our own fields and the sections dataset, dataset_params, model_params,
      train_params, train_avd_params and visualizer_params. `dataset.path` is empty: each data set
      sets its own.
    """
    return ConfigDict(
        {
            **_our_fields(),
            "dataset": _dataset(),
            "dataset_params": _dataset_params(),
            "model_params": _model_params(),
            "train_params": _train_params(),
            "train_avd_params": _train_avd_params(),
            "visualizer_params": {
                "kp_size": 5,  # radius in pixels
                "draw_border": True,
                "colormap": "gist_rainbow",
            },
        }
    )


def _our_fields() -> dict:
    return {
        "image_size": (256, 256),  # (height, width) of the frames in pixels
        "seed": 0,
        # --- the run
        "total_steps": 0,  # last step; 0: the end of train_params.num_epochs
        "log_every": 50,  # steps
        "picture_every": 1000,  # steps
        "checkpoint_every": 1000,  # steps; every epoch also ends with a checkpoint
        "keep_checkpoints": 3,  # latest checkpoints to keep, in addition to the best
        "skip_nonfinite_steps": 0,  # NaN or infinite steps in a row that are skipped
        "skip_broken": 0,  # broken clips of a process that others replace; one more ends the run
        "tensorboard": False,
        # --- evaluation during training, see docs/evaluation.md
        "eval_every": 0,  # steps, each with a checkpoint; the best has the lowest L1; 0: never
        "eval_clips": 8,  # test clips, evenly spaced in the order of their names
        "eval_frames": 64,  # frames per clip at most, from the first on
        # --- the perceptual loss: 'vgg19', with weights in vgg19_dir; 'vgg19_random'; 'pixels'
        "perceptual_features": "vgg19",
        "vgg19_dir": "checkpoints/vgg19",
        # --- speed and memory
        "compute_dtype": "float32",  # dtype of convolutions, or 'bfloat16'
        "remat": (),  # networks, or 'vgg19', whose activations are recomputed to save memory
        "accumulate_steps": 1,  # parts of a batch that are computed one after the other
        "state_sharding": "replicated",  # or 'fsdp': sharded over the devices
        # --- beyond the paper's recipe
        "ema_decay": 0.0,  # decay of the averaged weights that evaluation uses; 0: no average
        "dropout_rescale": False,  # the paper's 1/(1-P), which the official code omits
        "warmup_steps": 0,  # steps in which the learning rate rises
        "optimizer": "",  # a name in optax, e.g. 'adamw'; empty: the paper's Adam
        "optimizer_params": ConfigDict(),  # its arguments, e.g. "{'weight_decay': 0.1}"
        # --- fine-tuning
        "init_from": "",  # a checkpoint to start from
        "init_networks": (),  # networks to take from it; empty: all
        "freeze": (),  # regular expressions of parameter names, e.g. 'kp_detector'
    }


def _dataset() -> dict:
    return {
        # A prepared data set (python -m data.prepare) or a folder of clips. The official files call
        # it dataset_params.root_dir.
        "path": "",
        # More data sets to train on, and the share of each: "(0.7, 0.3)" takes seven samples of
        # `path` to three of mix_paths[0]. Evaluation reads `path` alone.
        "mix_paths": (),
        "mix_weights": (),
    }


def _dataset_params() -> dict:
    return {
        # (height, width, 3) of the frames in wide pictures; None: the picture's height.
        "frame_shape": config_dict.placeholder(tuple),
        # An epoch takes a random clip of each identity (the file's name up to '#').
        "id_sampling": True,
        "augmentation_params": {
            "flip_param": {"horizontal_flip": True, "time_flip": True},
            "jitter_param": {"brightness": 0.1, "contrast": 0.1, "saturation": 0.1, "hue": 0.1},
            # Only MGif's official file has these two. A resize needs a crop.
            "resize_param": {"ratio": config_dict.placeholder(tuple)},  # (smallest, largest) scale
            "crop_param": {"size": config_dict.placeholder(tuple)},  # (height, width) in pixels
        },
        # Puppets that are drawn if `dataset.path` does not exist.
        "puppets": {
            "clips": config_dict.placeholder(int),  # training clips; None: nothing is drawn
            "frames": 50,  # frames per clip
            "size": 256,  # side in pixels
        },
    }


def _model_params() -> dict:
    # tpsm_jax/checkpoints/added_fields.py lists the fields that older configs lack.
    return {
        "family": "tpsm",
        "common_params": {
            "num_tps": 10,  # splines; each has five keypoints
            "num_channels": 3,
            "bg": True,  # whether the motion of the background is predicted
            "multi_mask": True,  # four occlusion masks of rising resolution, or one
        },
        "kp_detector_params": {
            "width": 64,  # features of the ResNet's first layers
            "blocks": 2,  # blocks in each of its four layers
            "spread_points": False,  # keypoints start spread over the picture, not in its middle
        },
        "bg_predictor_params": {"width": 64, "blocks": 2},
        "generator_params": {"block_expansion": 64, "max_features": 512, "num_down_blocks": 3},
        "dense_motion_params": {
            "block_expansion": 64,
            "max_features": 1024,
            "num_blocks": 5,
            "scale_factor": 0.25,  # scale of the frames that motion is estimated on
            "warps": "tps",  # thin-plate splines, or 'affine' maps
        },
        "avd_network_params": {"id_bottle_size": 128, "pose_bottle_size": 128},
    }


def _train_params() -> dict:
    return {
        "num_epochs": 100,
        "num_repeats": 150,  # passes over the clips that count as one epoch
        "epoch_milestones": (70, 90),  # the learning rate falls tenfold at each
        "lr_generator": 2.0e-4,
        "batch_size": 28,
        "scales": (1, 0.5, 0.25, 0.125),
        "dataloader_workers": 12,
        "checkpoint_freq": 50,
        # The share of dropped splines rises from startp to maxp in inc_epoch epochs. Nothing is
        # dropped from dropout_epoch on.
        "dropout_epoch": 35,
        "dropout_maxp": 0.5,
        "dropout_startp": 0.0,
        "dropout_inc_epoch": 10,
        "bg_start": 0,  # first epoch in which the background predictor is used and trained
        "transform_params": {"sigma_affine": 0.05, "sigma_tps": 0.005, "points_tps": 5},
        "loss_weights": {
            "perceptual": (10, 10, 10, 10, 10),  # one per slice of VGG-19
            "equivariance_value": 10,
            "warp_loss": 10,
            "bg": 10,
            "keypoints": 0,  # distance of keypoints to landmarks of the data, see data/landmarks.py
            "bg_points": 0,  # the same for the background's motion
            "bg_equivariance": 0,  # how well its predictor finds a random map of one picture
            "contribution": 0,  # how well the warps explain the driving picture, see losses.py
        },
    }


def _train_avd_params() -> dict:
    return {
        "num_epochs": 100,
        "num_repeats": 150,
        "batch_size": 256,
        "dataloader_workers": 24,
        "checkpoint_freq": 10,
        "epoch_milestones": (70, 90),
        "lr": 1.0e-3,
        "lambda_shift": 1,
        "random_scale": 0.25,
    }
