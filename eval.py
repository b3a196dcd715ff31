r"""Reconstructs the test clips of a data set, and writes numbers, files and a page to look at.

  python eval.py --checkpoint checkpoints/vox --data DIR --output runs/vox_eval
  python eval.py --checkpoint runs/a@best runs/b --data DIR --output runs/a_and_b

With --pairs or --random_pairs it moves each clip's first frame by another clip instead. Of puppets,
which are drawn, the right result is known:

  python eval.py --checkpoint runs/puppets128 --data puppets --truth cross --output runs/truth

--detector face adds AKD and MKR, and may be given later, with --resume.
"""

if __name__ == "__main__":  # before what takes long to import
    from tpsm_jax.runtime import ctrl_c

    ctrl_c.end_quietly()

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from data.clip import Clip
from data.evaluation_set import (
    check_names,
    clips_for_test,
    pairs_of_clips,
    random_pairs,
    read_pairs,
    split_note,
)
from data.loader import clip_notes, open_clips
from data.puppets.truth import CLIPS, MOST_CLIPS, SEEDS, puppet_clips, puppet_pairs
from data.roots import refuse_among_clips
from tpsm_jax.cli import (
    ArgumentParser,
    add_batch_size_flag,
    add_cache_flag,
    add_step_flag,
    folder_to_write,
    local_path,
    local_path_text,
    positive,
    run_script,
)
from tpsm_jax.errors import InputError
from tpsm_jax.evaluation.checkpoints import choose_checkpoints
from tpsm_jax.evaluation.clip_frames import EvaluationClip
from tpsm_jax.evaluation.detection import find_detector
from tpsm_jax.evaluation.output import only_evaluation
from tpsm_jax.evaluation.published import PUBLISHED
from tpsm_jax.evaluation.reconstruction import RECONSTRUCTION
from tpsm_jax.evaluation.report import write_report
from tpsm_jax.evaluation.run import Settings, evaluate, load_checkpoints
from tpsm_jax.evaluation.summary import print_summary
from tpsm_jax.models.registry import picture_size
from tpsm_jax.parallel.distributed import initialize, on_every_process, on_first_process
from tpsm_jax.runtime.compilation_cache import use_compilation_cache
from tpsm_jax.runtime.malloc import keep_freed_memory

PUPPETS = "puppets"  # the data that are drawn


def main() -> None:
    """Parses the flags, evaluates, and shows the table."""
    args = parse_arguments()
    initialize()
    if not args.draws:
        data = Path(args.data)
        on_every_process(lambda: refuse_among_clips(args.output, "--output", data, "--data"))
    use_compilation_cache(args.compilation_cache)
    keep_freed_memory()
    start = time.perf_counter()
    models = on_every_process(
        lambda: choose_checkpoints(args.checkpoint, step=args.step, ema=not args.no_ema)
    )
    if jax.process_index() == 0 and not args.draws and (note := split_note(Path(args.data))):
        print(note, file=sys.stderr)
    loaded = load_checkpoints(models)
    clips = on_every_process(lambda: open_and_choose(loaded[0].config, args))
    drives_others = args.pairs or args.random_pairs or args.truth
    settings = Settings(
        args.data,
        mode=args.mode or ("relative" if drives_others else RECONSTRUCTION),
        batch_size=args.batch_size,
        dataset=args.dataset or "",
        vgg19=args.vgg19,
        tables=args.tables,
        detectors=[find_detector(text) for text in args.detector],
        options=options(args),
    )
    with only_evaluation(args.output):
        metrics = evaluate(models, loaded, clips, args.output, settings, resume=args.resume)
        on_first_process(lambda: write_report(args.output, metrics, clips, loaded))
    if jax.process_index() == 0:
        print_summary(metrics, args.output, time.perf_counter() - start)


def open_and_choose(model_config: ConfigDict, args: argparse.Namespace) -> list[EvaluationClip]:
    """The clips that the flags ask for, with warnings about the data set on stderr."""
    if args.draws:
        choose = puppet_pairs if args.truth else puppet_clips
        return choose(args.clips or CLIPS, args.seed or 0, picture_size(model_config))
    config = data_config(model_config, args.data)
    opened = open_clips(config)
    clips = choose_clips(config, opened, args)
    if jax.process_index() == 0:
        for note in clip_notes(config, opened):
            print(f"warning: {note}", file=sys.stderr)
    return clips


def choose_clips(
    config: ConfigDict, opened: Sequence[Clip], args: argparse.Namespace
) -> list[EvaluationClip]:
    """Those of a data set's test clips that the flags ask for, or pairs of them."""
    if args.pairs or args.random_pairs:
        pairs = (
            read_pairs(args.pairs)
            if args.pairs
            else random_pairs(config, args.random_pairs, args.seed or 0, opened)
        )
        clips = pairs_of_clips(config, pairs, opened, resize=args.resize)
    else:
        clips = clips_for_test(config, opened, limit=args.clips, resize=args.resize)
    check_names(clips)
    return clips


def data_config(config: ConfigDict, data: str) -> ConfigDict:
    """A checkpoint's config with another data set's path."""
    config = config.copy_and_resolve_references()
    with config.unlocked():
        config.dataset = ConfigDict({"path": data})
        # Without the other fields: a demo's would draw its clips where they are missing.
        config.dataset_params = ConfigDict(
            {"frame_shape": config.get("dataset_params", {}).get("frame_shape")}
        )
    return config


def options(args: argparse.Namespace) -> dict[str, Any]:
    """The flags that decide which clips there are, or what is done to them."""
    given: dict[str, Any] = {"resize": args.resize}
    if args.draws:
        given |= {"puppets": args.clips or CLIPS, "seed": args.seed or 0}
        given |= {"truth": args.truth} if args.truth else {}
    elif args.pairs:
        given["pairs"] = str(Path(args.pairs).resolve())
    elif args.random_pairs:
        given |= {"random_pairs": args.random_pairs, "seed": args.seed or 0}
    elif args.clips:
        given["limit"] = args.clips
    return given


def parse_arguments() -> argparse.Namespace:
    """The flags."""
    parser = ArgumentParser(__doc__)
    add = parser.add_argument
    add(
        "--checkpoint",
        required=True,
        nargs="+",
        type=local_path_text,
        metavar="DIR[@STEP]",
        help="folders that convert_torch_weights.py wrote, workdirs of train.py, or puppets, the "
        "model that comes with the package",
    )
    add(
        "--data",
        required=True,
        type=local_path_text,
        help="a prepared data set, a folder of clips with test/, or puppets, which are drawn",
    )
    add("--output", required=True, type=folder_to_write, help="folder to write")
    add_step_flag(parser)
    add("--no_ema", action="store_true", help="the weights themselves, not their average")
    add_batch_size_flag(parser)
    add(
        "--clips",
        type=positive,
        help="only so many of the test clips, spread over their names; with --data puppets, "
        f"how many to draw ({CLIPS})",
    )
    add(
        "--truth",
        choices=("cross",),
        help="with --data puppets: move each figure by another, and compare with the drawn truth",
    )
    add("--resize", action="store_true", help="bring frames of another size to the checkpoint's")
    add("--resume", action="store_true", help="resume an evaluation that was interrupted")
    add("--dataset", choices=sorted(PUBLISHED), help="show published numbers for this data set too")
    add(
        "--vgg19",
        type=local_path_text,
        metavar="DIR",
        help="VGG-19's weights, for the perceptual distance",
    )
    add(
        "--detector",
        nargs="+",
        default=[],
        metavar="face|body|COMMAND",
        help="for AKD and MKR, or AED: MediaPipe, or a command with {input} and {output}, which "
        "makes a table of a folder of wide pictures",
    )
    add(
        "--tables",
        nargs="+",
        action="append",
        default=[],
        type=local_path,
        metavar=("TRUTH", "RESULT"),
        help="tables that a detector has made of the clips and of the results of each checkpoint, "
        "in their order; may be given twice, as for key points and embeddings",
    )
    add(
        "--pairs",
        type=local_path_text,
        metavar="CSV",
        help="with columns source and driving, names of test clips",
    )
    add("--random_pairs", type=positive, metavar="N", help="draw N pairs of test clips instead")
    add("--seed", type=int, help="seed of --random_pairs or puppets, 0 or more (0)")
    add(
        "--mode",
        choices=("relative", "standard"),
        help="mode of pairs: motion since the first frame (default), or the driving pose as it is",
    )
    add_cache_flag(parser)
    args = parser.parse_args()
    args.draws = args.data == PUPPETS
    check_arguments(args)
    return args


def check_arguments(args: argparse.Namespace) -> None:
    """Raises: InputError: flags that do not go together."""
    if args.draws:
        check_drawn(args)
    elif args.truth:
        raise InputError("--truth is for --data puppets: of filmed clips the truth is not known")
    if args.seed is not None and (not (args.random_pairs or args.draws) or args.seed < 0):
        raise InputError("--seed is 0 or more, and for --random_pairs and --data puppets")
    if args.mode and not (args.pairs or args.random_pairs or args.truth):
        raise InputError(
            "--mode is for --pairs, --random_pairs and --truth: a clip drives itself as it is"
        )
    if args.pairs and args.random_pairs:
        raise InputError("give --pairs or --random_pairs, not both")
    if (args.tables or args.detector) and (args.pairs or args.random_pairs):
        raise InputError("--tables and --detector are for reconstruction: pairs have no truth")
    for tables in args.tables:
        if len(tables) != 1 + len(args.checkpoint):
            raise InputError(
                f"--tables wants the truth's and one for each of the {len(args.checkpoint)} "
                f"checkpoints, and got {len(tables)}"
            )
        for path in tables:
            if not path.is_file():
                raise InputError(f"there is no table {path}")
    if args.clips and (args.pairs or args.random_pairs):
        raise InputError("--clips is for reconstruction; the number of pairs is that of the pairs")


def check_drawn(args: argparse.Namespace) -> None:
    """Raises: InputError: flags that are not for drawn clips."""
    if Path(PUPPETS).exists():
        raise InputError(
            f"--data {PUPPETS} is what is drawn, and here is something of that name: say "
            f"./{PUPPETS} for that, or start in another folder"
        )
    for flag in ("pairs", "random_pairs", "resize", "dataset", "tables", "detector"):
        if getattr(args, flag):
            raise InputError(f"--{flag} is not for --data {PUPPETS}")
    if (args.clips or 1) > MOST_CLIPS or (args.seed or 0) >= SEEDS:
        raise InputError(
            f"--data {PUPPETS} has at most {MOST_CLIPS} clips, and seeds below {SEEDS}"
        )


if __name__ == "__main__":
    run_script(main)
