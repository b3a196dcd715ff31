r"""Trains a model, or goes on with a run where it was left.

  python train.py --config configs/vox256.py --workdir runs/vox
  python train.py --config configs/vox256.py --workdir runs/vox_avd --stage avd --init runs/vox

Any field of the config can be given: --config.train_params.batch_size=8 --config.total_steps=1000
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import jax
from ml_collections import ConfigDict

from data.evaluation_set import clips_for_test
from data.loader import open_dataset
from tpsm_jax.checkpoints.converted import check_vgg19, load_checkpoint, load_vgg19
from tpsm_jax.checkpoints.orbax_io import finished_steps
from tpsm_jax.cli import ArgumentParser, add_cache_flag, run_script
from tpsm_jax.config import apply_overrides, read_config
from tpsm_jax.errors import InputError
from tpsm_jax.evaluation.in_training import InTrainingEvaluation
from tpsm_jax.parallel.distributed import initialize, on_every_process, same_everywhere
from tpsm_jax.parallel.sharding import Batch, make_mesh
from tpsm_jax.runtime.compilation_cache import use_compilation_cache
from tpsm_jax.runtime.xla_flags_cpu import prepare_cpu
from tpsm_jax.runtime.xla_flags_gpu import prepare_gpu
from tpsm_jax.training.avd import AVDTrainer
from tpsm_jax.training.loop import Trainer, check_settings, train
from tpsm_jax.training.step import ModelTrainer, initial_networks


def main() -> None:
    """Reads the flags, opens the clips, and trains."""
    args, overrides = parse_arguments()
    initialize()
    use_compilation_cache(args.compilation_cache)
    config = read_config(args.config)
    apply_overrides(config, overrides)
    check_settings(config)
    with config.unlocked():
        config.stage = args.stage
    params = config.train_params if args.stage == "model" else config.train_avd_params
    sizes = {"batch_size": params.batch_size, "num_repeats": params.num_repeats}
    dataset = on_every_process(lambda: open_dataset(config))
    steps_per_epoch = on_every_process(lambda: dataset.steps_per_epoch(**sizes))
    if not same_everywhere(dataset.fingerprint()):
        raise InputError(
            f"hosts see different clips in {config.dataset.path} or what is mixed with it"
        )
    if jax.process_index() == 0:
        print(dataset.describe())
    make = make_model_trainer if args.stage == "model" else make_avd_trainer
    trainer = make(config, steps_per_epoch, args)

    def make_batches(step: int) -> Iterator[Batch]:
        return dataset.batches(
            **sizes,
            seed=config.seed,
            start_step=step,
            process_index=jax.process_index(),
            process_count=jax.process_count(),
            workers=params.dataloader_workers,
        )

    evaluate = make_evaluation(config, trainer) if config.eval_every else None
    train(config, args.workdir, trainer, make_batches, evaluate)


def make_evaluation(config: ConfigDict, trainer: Trainer) -> InTrainingEvaluation:
    """On some of the test clips, resized as those that are trained on."""
    clips = on_every_process(lambda: clips_for_test(config, limit=config.eval_clips, resize=True))
    return InTrainingEvaluation(config, trainer.mesh, clips)


def make_model_trainer(
    config: ConfigDict, steps_per_epoch: int, args: argparse.Namespace
) -> Trainer:
    """Detector, dense motion, inpainting and background, from nothing or from `init_from`."""
    initial = None
    if config.init_from and not finished_steps(args.workdir):
        initial = initial_networks(
            load_checkpoint(config.init_from).variables, config.init_networks
        )
    vgg19 = None
    if config.perceptual_features == "vgg19":
        on_every_process(lambda: check_vgg19(config.vgg19_dir))
        vgg19 = load_vgg19(config.vgg19_dir)
    return ModelTrainer(
        config,
        make_mesh(),
        steps_per_epoch=steps_per_epoch,
        initial_variables=initial,
        vgg19=vgg19,
    )


def make_avd_trainer(config: ConfigDict, steps_per_epoch: int, args: argparse.Namespace) -> Trainer:
    """AVD on a frozen model, whose fields replace those of the config."""
    checkpoint = load_checkpoint(args.init)
    config.model_params = checkpoint.config.model_params
    return AVDTrainer(config, make_mesh(), steps_per_epoch=steps_per_epoch, checkpoint=checkpoint)


def parse_arguments() -> tuple[argparse.Namespace, list[str]]:
    """The flags, and what is left: overrides of the config."""
    parser = ArgumentParser(__doc__)
    add = parser.add_argument
    add("--config", required=True, type=Path, help="as configs/vox256.py")
    add("--workdir", required=True, type=Path, help="folder of the run, to make or to go on in")
    add(
        "--stage",
        choices=("model", "avd"),
        default="model",
        help="everything but avd_network (default), or avd_network on a trained model",
    )
    add("--init", type=Path, metavar="DIR", help="that model, for --stage avd")
    add_cache_flag(parser)
    args, overrides = parser.parse_known_args()
    if args.stage == "avd" and not args.init:
        parser.error("--stage avd needs --init DIR, the trained model")
    if args.stage == "model" and args.init:
        parser.error("--init is for --stage avd; to fine-tune, give --config.init_from=DIR")
    return args, overrides


if __name__ == "__main__":
    prepare_gpu()
    prepare_cpu()  # which may start this script anew, so not within `main`
    run_script(main)
