"""What every configuration shares; a file beside this one holds only what differs.

Sections and fields carry the names of the official YAML files, so either can be read with the
other at hand. The fields outside the sections are ours; with their values here training does what
the official code does. Any of them can be changed on the command line: `--config.FIELD=VALUE`.
"""

from ml_collections import ConfigDict, config_dict


def get_base_config() -> ConfigDict:
    """The shared settings: 256 x 256 RGB, 10 splines, the published training schedule.

    Returns:
      A ConfigDict with our own fields, our own section dataset, and the official sections
      dataset_params, model_params, train_params, train_avd_params and visualizer_params.
      `dataset.path` is empty: each data set names its own.
    """
    return ConfigDict(
        {
            **_our_fields(),
            "dataset": _dataset(),
            "dataset_params": _dataset_params(),
            "model_params": _model_params(),
            "train_params": _train_params(),
            "train_avd_params": _train_avd_params(),
            "visualizer_params": {  # of the official files; no code reads them
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
        "total_steps": 0,  # where to stop; 0: after train_params.num_epochs
        "log_every": 50,  # steps
        "picture_every": 1000,  # steps
        "checkpoint_every": 1000,  # steps; there is one at every epoch's end besides
        "keep_checkpoints": 3,  # the last few; the best is kept besides
        "skip_nonfinite_steps": 0,  # in a row; one more stops the run
        "tensorboard": False,
        # --- evaluation meanwhile, see docs/evaluation.md
        "eval_every": 0,  # steps, each with a checkpoint, the best of least L1; 0: no evaluation
        "eval_clips": 8,  # test clips, spread over their names
        "eval_frames": 64,  # of each clip, from its first on, at most
        # --- the perceptual loss: 'vgg19', with weights in vgg19_dir; 'vgg19_random'; 'pixels'
        "perceptual_features": "vgg19",
        "vgg19_dir": "checkpoints/vgg19",
        # --- speed and memory
        "compute_dtype": "float32",  # or 'bfloat16', of convolutions
        "remat": (),  # networks, and 'vgg19', whose inner values are computed twice, not kept
        "accumulate_steps": 1,  # parts that a batch is cut into, computed one after the other
        "state_sharding": "replicated",  # or 'fsdp': cut among the devices
        # --- beyond the paper's recipe
        "ema_decay": 0.0,  # of the average of the weights that evaluation uses; 0: no average
        "dropout_rescale": False,  # the paper's 1/(1-P), which the official code leaves out
        "warmup_steps": 0,  # in which the learning rate rises
        "optimizer": "",  # a name in optax, as 'adamw'; empty: the paper's Adam
        "optimizer_params": ConfigDict(),  # its arguments, as "{'weight_decay': 0.1}"
        # --- fine-tuning
        "init_from": "",  # a checkpoint to start from
        "init_networks": (),  # only these of it; empty: all that it has
        "freeze": (),  # regular expressions of parameters, as 'kp_detector'
    }


def _dataset() -> dict:
    return {
        # A prepared data set (python -m data.prepare) or a folder of clips; the official files call
        # it dataset_params.root_dir.
        "path": "",
        # More of them to train on besides, and how much: "(0.7, 0.3)" takes seven samples of `path`
        # to three of mix_paths[0]. Evaluation reads `path` alone.
        "mix_paths": (),
        "mix_weights": (),
    }


def _dataset_params() -> dict:
    return {
        # (height, width, 3) of the frames in wide pictures; if None, as high as the picture.
        "frame_shape": config_dict.placeholder(tuple),
        # An epoch runs over identities (the file's name up to '#'), a random clip of each.
        "id_sampling": True,
        "augmentation_params": {
            "flip_param": {"horizontal_flip": True, "time_flip": True},
            "jitter_param": {"brightness": 0.1, "contrast": 0.1, "saturation": 0.1, "hue": 0.1},
        },
    }


def _model_params() -> dict:
    return {
        "common_params": {
            "num_tps": 10,  # splines; each owns five keypoints
            "num_channels": 3,
            "bg": True,  # whether the camera's own motion is predicted
            "multi_mask": True,  # four occlusion masks of rising resolution, or one
        },
        "generator_params": {"block_expansion": 64, "max_features": 512, "num_down_blocks": 3},
        "dense_motion_params": {
            "block_expansion": 64,
            "max_features": 1024,
            "num_blocks": 5,
            "scale_factor": 0.25,  # motion is estimated on frames this much smaller
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
        "checkpoint_freq": 50,  # of the official files; no code reads it: see checkpoint_every
        # The share of dropped splines rises from startp to maxp within inc_epoch epochs, and
        # nothing is dropped from dropout_epoch on.
        "dropout_epoch": 35,
        "dropout_maxp": 0.5,
        "dropout_startp": 0.0,
        "dropout_inc_epoch": 10,
        "bg_start": 0,  # first epoch in which the background predictor is used and trained
        "transform_params": {"sigma_affine": 0.05, "sigma_tps": 0.005, "points_tps": 5},
        "loss_weights": {
            "perceptual": (10, 10, 10, 10, 10),  # one a slice of VGG-19
            "equivariance_value": 10,
            "warp_loss": 10,
            "bg": 10,
        },
    }


def _train_avd_params() -> dict:
    return {
        "num_epochs": 100,
        "num_repeats": 150,
        "batch_size": 256,
        "dataloader_workers": 24,
        "checkpoint_freq": 10,  # likewise
        "epoch_milestones": (70, 90),
        "lr": 1.0e-3,
        "lambda_shift": 1,
        "random_scale": 0.25,
    }
