r"""Trains a model, or resumes a run.

  python train.py --config configs/vox256.py --workdir runs/vox
  python train.py --config configs/vox256.py --workdir runs/vox_avd --stage avd --init runs/vox

Any field of the config can be given: --config.train_params.batch_size=8 --config.total_steps=1000
"""

if __name__ == "__main__":  # before what takes long to import
    from tpsm_jax.runtime import ctrl_c

    ctrl_c.end_quietly()

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import jax
from ml_collections import ConfigDict

from data.evaluation_set import clips_for_test
from data.loader import open_dataset
from data.roots import refuse_among_clips
from tpsm_jax.checkpoints.converted import load_checkpoint, stored_config
from tpsm_jax.cli import ArgumentParser, add_cache_flag, folder_to_write, local_path, run_script
from tpsm_jax.config import apply_overrides, expand_paths, read_config, validate
from tpsm_jax.errors import InputError
from tpsm_jax.evaluation.in_training import InTrainingEvaluation
from tpsm_jax.parallel.distributed import initialize, on_every_process, same_everywhere
from tpsm_jax.parallel.sharding import HostBatch, make_mesh
from tpsm_jax.runtime.apart import refuse_within
from tpsm_jax.runtime.compilation_cache import use_compilation_cache
from tpsm_jax.runtime.xla_flags_cpu import prepare_cpu
from tpsm_jax.runtime.xla_flags_gpu import prepare_gpu
from tpsm_jax.training.loop import train
from tpsm_jax.training.setup import make_avd_trainer, make_model_trainer
from tpsm_jax.training.weights import check_weights, load_initial_networks, load_perceptual_weights


def main() -> None:
    """Reads the flags, opens the clips, and trains."""
    args, overrides = parse_arguments()
    initialize()
    use_compilation_cache(args.compilation_cache)
    config = read_config(args.config)
    apply_overrides(config, overrides)
    expand_paths(config)
    with config.unlocked():
        config.stage = args.stage
    if args.stage == "avd":
        config.model_params = on_every_process(lambda: stored_config(args.init)).model_params
    mesh = make_mesh()
    validate(config, args.stage, mesh.size)
    on_every_process(lambda: check_apart(args.workdir, config))
    on_every_process(lambda: check_weights(config, args.stage))

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
        for note in dataset.notes():
            print(f"warning: {note}", file=sys.stderr)
    if args.stage == "avd":
        variables = load_checkpoint(args.init).variables
        trainer = make_avd_trainer(
            config, mesh, steps_per_epoch=steps_per_epoch, variables=variables
        )
        del variables  # or the model would stay on the device
    else:
        trainer = make_model_trainer(
            config,
            mesh,
            steps_per_epoch=steps_per_epoch,
            initial_variables=load_initial_networks(config, args.workdir),
            vgg19=load_perceptual_weights(config),
        )

    def make_batches(step: int) -> Iterator[HostBatch]:
        return dataset.batches(
            **sizes,
            seed=config.seed,
            start_step=step,
            process_index=jax.process_index(),
            process_count=jax.process_count(),
            workers=params.dataloader_workers,
            skip_broken=config.skip_broken,
        )

    evaluate = None
    if config.eval_every:
        # Resized as the clips that are trained on.
        clips = on_every_process(
            lambda: clips_for_test(
                config,
                limit=config.eval_clips,
                resize=True,
                squeeze_warning=dataset.reader.squeeze_warning,
            )
        )
        evaluate = InTrainingEvaluation(config, mesh, clips)
    train(config, args.workdir, trainer, make_batches, evaluate)


def check_apart(workdir: Path, config: ConfigDict) -> None:
    """Raises: InputError: the run would lie among the clips, or they in its folder."""
    dataset = config.dataset
    fields = [("path", dataset.path), *(("mix_paths", path) for path in dataset.mix_paths)]
    for field, path in fields:
        if not path:  # opening the data set says what to set
            continue
        name = f"config.dataset.{field}"
        refuse_among_clips(workdir, "--workdir", Path(path), name)
        refuse_within(path, name, workdir, "--workdir", "which holds the run and nothing else")


def parse_arguments() -> tuple[argparse.Namespace, list[str]]:
    """The flags, and what is left: overrides of the config."""
    parser = ArgumentParser(__doc__)
    add = parser.add_argument
    add("--config", required=True, type=local_path, help="e.g. configs/vox256.py")
    add(
        "--workdir",
        required=True,
        type=folder_to_write,
        help="folder of the run, to make or to resume",
    )
    add(
        "--stage",
        choices=("model", "avd"),
        default="model",
        help="everything but avd_network (default), or avd_network on a trained model",
    )
    add("--init", type=local_path, metavar="DIR", help="that model, for --stage avd")
    add_cache_flag(parser)
    args, overrides = parser.parse_known_args()
    if args.stage == "avd" and not args.init:
        parser.error("--stage avd needs --init DIR, the trained model")
    if args.stage == "model" and args.init:
        parser.error("--init is for --stage avd; to fine-tune, give --config.init_from=DIR")
    return args, overrides


if __name__ == "__main__":
    prepare_gpu()
    prepare_cpu()  # which may start this script again, so not within `main`
    run_script(main, cleans_up=False)  # the loop does, and `open_dataset` where it draws clips
