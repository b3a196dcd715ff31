r"""Writes the functions that animate, and the weights, as one file that `jax.export` reads.

  python -m tpsm_jax.animation.export --checkpoint checkpoints/vox --output vox.jaxexport

Serving it needs JAX, flatbuffers and NumPy, and nothing of this package: docs/serving.md.
"""

if __name__ == "__main__":  # before what takes long to import
    from tpsm_jax.runtime import ctrl_c

    ctrl_c.end_quietly()

import argparse
import importlib.metadata
import itertools
import json
import zipfile
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from tqdm import tqdm

from tpsm_jax.animation.programs import (
    MODES,
    animation_variables,
    available_modes,
    encode_source,
    find_keypoints,
    render,
)
from tpsm_jax.backends.backend import tracing_for
from tpsm_jax.checkpoints.converted import load_checkpoint
from tpsm_jax.cli import (
    ArgumentParser,
    add_checkpoint_flags,
    add_dtype_flag,
    add_size_flag,
    local_path,
    run_script,
)
from tpsm_jax.errors import InputError, writing
from tpsm_jax.models.interface import AnimationModel
from tpsm_jax.models.registry import check_image_size, family_of, picture_size
from tpsm_jax.runtime.atomic_files import replaced

FORMAT = 1
PLATFORMS = {"cpu": "cpu", "gpu": "cuda", "tpu": "tpu"}  # jax.default_backend(): for jax.export

_FRAMES = "frames [b, height, width, 3] float32 in [0, 1]"
_PICTURES = "pictures [b, height, width, 3]"
SIGNATURES = {
    "encode_source": "weights, source [1, height, width, 3] float32 in [0, 1] -> encoded, with "
    "kp_source [1, keypoints, 2]",
    "find_keypoints": f"weights, {_FRAMES} -> [b, keypoints, 2], (x, y) in [-1, 1]",
    "next_frames_relative": f"weights, encoded, {_FRAMES}, kp_initial [keypoints, 2], scale [] "
    f"-> {_PICTURES}",
    "next_frames_standard": f"weights, encoded, {_FRAMES} -> {_PICTURES}",
    "next_frames_avd": f"weights, encoded, {_FRAMES} -> {_PICTURES}",
}


def export_animation(
    checkpoint: tuple[Any, AnimationModel, Any],
    path: str | Path,
    *,
    modes: Collection[str] | None = None,
    size: tuple[int, int] | None = None,
    output_dtype: type[np.uint8] | type[np.float32] = np.uint8,
) -> list[str]:
    """Writes a file that `numpy.load` opens, with everything that animation needs.

        header.json              the file's content, as JSON
        functions/BACKEND/NAME   for `jax.export.deserialize`; see `PLATFORMS` and `SIGNATURES`
        weights/...              arrays: as one dictionary, the first argument of every function

    Args:
      checkpoint: (config, model, variables), as `tpsm_jax.load` returns them.
      path: the file to write, which replaces an older one; missing folders are made.
      modes: animation modes, see `Animator`; all that the checkpoint has weights for if None.
      size: (height, width) of the pictures; `config.image_size` if None.
      output_dtype: the pictures' type, uint8 or float32 in [0, 1].

    Returns:
      The names of the functions.

    Raises:
      InputError: a mode is unknown or lacks its weights, the networks cannot take `size`, or the
        file cannot be written.
    """
    config, model, variables = checkpoint
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path} is a folder; give the name of a file")
    size = size or picture_size(config)
    check_image_size(config.model_params, *size)
    family = family_of(config.model_params)
    if modes is None:
        modes = available_modes(model, family, variables)
    variables = animation_variables(model, family, variables, modes)
    weights = {f"weights/{name}": x for name, x in flatten_dict(variables, sep="/").items()}
    functions = _functions(model, weights, modes, size, output_dtype)
    header = {
        "format": FORMAT,
        "tpsm_jax": importlib.metadata.version("tpsm_jax"),
        "jax": jax.__version__,
        "platforms": PLATFORMS,
        "height": size[0],
        "width": size[1],
        "output_dtype": np.dtype(output_dtype).name,
        "functions": {name: SIGNATURES[name] for name in functions},
        # Nothing else: the config may hold paths of the machine that trained.
        "config": {
            "image_size": picture_size(config),
            "model_params": config.model_params.to_dict(),
        },
    }
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replaced(path) as partial, zipfile.ZipFile(partial, "w") as archive:
            archive.writestr("header.json", json.dumps(header, indent=2))
            for backend, name in tqdm(list(itertools.product(PLATFORMS, functions)), "exporting"):
                program = _program(*functions[name], backend)
                archive.writestr(f"functions/{backend}/{name}", program, zipfile.ZIP_DEFLATED)
            for name, array in weights.items():
                with archive.open(f"{name}.npy", "w") as file:
                    np.lib.format.write_array(file, np.asarray(array), allow_pickle=False)
    return list(functions)


def _functions(
    model: AnimationModel,
    weights: dict[str, jax.Array],
    modes: Collection[str],
    size: tuple[int, int],
    dtype: Any,
) -> dict[str, tuple[Callable[..., Any], tuple[Any, ...]]]:
    """Name -> the function, and the shapes of its arguments, for any number of frames."""

    def encode(weights: Any, source: Any) -> Any:
        return encode_source(model, _variables(weights), source)

    def find(weights: Any, frames: Any) -> Any:
        return find_keypoints(model, _variables(weights), frames)

    def next_frames(mode: str) -> Callable[..., Any]:
        def next_frames(weights: Any, encoded: Any, frames: Any, *motion: Any) -> Any:
            # `Animator` compiles the two apart. Fused, they would round differently.
            pose = jax.lax.optimization_barrier(find(weights, frames))
            variables = _variables(weights)
            return render(model, variables, encoded, pose, motion, mode=mode, dtype=dtype)

        return next_frames

    def shape(*sides: Any) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(sides, jnp.float32)

    (batch,) = jax.export.symbolic_shape("b")
    source, frames = shape(1, *size, 3), shape(batch, *size, 3)
    shapes = jax.tree.map(lambda array: shape(*array.shape), weights)
    encoded = jax.eval_shape(encode, shapes, source)
    initial = jax.tree.map(lambda leaf: shape(*leaf.shape[1:]), encoded["kp_source"])
    return {
        "encode_source": (encode, (shapes, source)),
        "find_keypoints": (find, (shapes, frames)),
        **{
            f"next_frames_{mode}": (
                next_frames(mode),
                (shapes, encoded, frames, *((initial, shape()) if mode == "relative" else ())),
            )
            for mode in model.modes
            if mode in modes
        },
    }


def _variables(weights: dict[str, jax.Array]) -> Any:
    return unflatten_dict(weights, sep="/")["weights"]


def _program(function: Callable[..., Any], arguments: tuple[Any, ...], backend: str) -> bytearray:
    """The serialized function, traced as on that backend."""
    limit = jax.config.jax_traceback_in_locations_limit  # type: ignore[attr-defined]
    # Otherwise it names its source files by their paths on this machine.
    jax.config.update("jax_traceback_in_locations_limit", 0)
    try:
        with tracing_for(backend):
            export = jax.export.export(jax.jit(function), platforms=[PLATFORMS[backend]])
            return export(*arguments).serialize()
    finally:
        jax.config.update("jax_traceback_in_locations_limit", limit)


def main() -> None:
    """Parses the flags, reads the checkpoint, writes the file."""
    args = parse_arguments()
    checkpoint = load_checkpoint(args.checkpoint, dtype=getattr(jnp, args.dtype), step=args.step)
    names = export_animation(
        checkpoint,
        args.output,
        modes=args.modes,
        size=args.size,
        output_dtype=np.dtype(args.output_dtype).type,
    )
    print(f"wrote {args.output}: {', '.join(names)}; {args.output.stat().st_size / 2**20:.0f} MiB")


def parse_arguments() -> argparse.Namespace:
    """The flags; `size` as (height, width) or None."""
    parser = ArgumentParser(__doc__)
    add_checkpoint_flags(parser)
    add = parser.add_argument
    add("--output", required=True, type=local_path, help="file to write, e.g. vox.jaxexport")
    add("--modes", nargs="+", choices=MODES, help="(all that the checkpoint has weights for)")
    add_size_flag(parser)
    add_dtype_flag(parser)
    add(
        "--output_dtype", choices=("uint8", "float32"), default="uint8", help="type of the pictures"
    )
    return parser.parse_args()


if __name__ == "__main__":
    run_script(main)
