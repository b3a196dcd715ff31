"""The inputs behind tests/golden: defined once, for the generator and for the tests. NumPy only."""

from typing import Any, NamedTuple

import numpy as np

from tests.helpers.procedural import procedural_picture, uniform

# Largest absolute differences allowed in float32 on CPU; gradients relative to a tensor's scale.
KEYPOINTS, FLOW, MASKS, PREDICTION, GRADIENT = 2e-6, 5e-6, 5e-5, 1e-4, 1e-4
# Before the name of a stage: how far the official code's float32 is from its own float64.
ROUNDING = "rounding of "
BOUNDS = {
    "kp_source": KEYPOINTS,
    "kp_driving": KEYPOINTS,
    "keypoints": KEYPOINTS,
    "bg_param": KEYPOINTS,
    "deformation": FLOW,
    "contribution_maps": MASKS,
    "occlusion_map": MASKS,
    "deformed_source": PREDICTION,
    "deformed": PREDICTION,
    "prediction": PREDICTION,
    # Features run to 4 where pictures end at 1.
    "warped_encoder_maps": 4 * PREDICTION,
}


def model_params(
    *, num_tps: int = 10, bg: bool = True, multi_mask: bool = True, small: bool = False
) -> dict[str, Any]:
    """The official YAML's `model_params`; `small` narrows all but the two ResNets."""
    return {
        "common_params": {
            "num_tps": num_tps,
            "num_channels": 3,
            "bg": bg,
            "multi_mask": multi_mask,
        },
        "generator_params": {
            "block_expansion": 8 if small else 64,
            "max_features": 48 if small else 512,
            "num_down_blocks": 3,
        },
        "dense_motion_params": {
            "block_expansion": 8 if small else 64,
            "max_features": 96 if small else 1024,
            "num_blocks": 5,
            "scale_factor": 0.25,
        },
        "avd_network_params": {"id_bottle_size": 128, "pose_bottle_size": 128},
    }


class ChainCase(NamedTuple):
    """One run of everything from two pictures to the prediction."""

    params: dict[str, Any]
    height: int
    width: int
    batch: int = 1
    background: bool = True
    seed: int = 0


CHAINS = {
    "vox": ChainCase(model_params(), 256, 256),
    "vox_without_background": ChainCase(model_params(), 256, 256, background=False),
    "mgif": ChainCase(model_params(bg=False), 256, 256, background=False, seed=1),
    "ted": ChainCase(model_params(), 384, 384, seed=2),
    "not_square": ChainCase(model_params(small=True), 128, 256, batch=2, seed=3),
    "single_mask": ChainCase(model_params(small=True, multi_mask=False), 128, 128, batch=2, seed=4),
    "four_splines": ChainCase(model_params(small=True, num_tps=4), 128, 128, batch=2, seed=5),
}


def pictures(name: str, batch: int, height: int, width: int, time: float = 0.0) -> np.ndarray:
    """[batch, height, width, 3] float32 in [0, 1], each another picture."""
    return np.stack(
        [procedural_picture(f"{name}{i}", height, width, time) for i in range(batch)], axis=0
    )


def chain_pictures(case: ChainCase) -> tuple[np.ndarray, np.ndarray]:
    """The source and driving pictures of a chain; different ones, so that the warps are large."""
    shape = (case.batch, case.height, case.width)
    return pictures("source", *shape), pictures("driving", *shape, time=0.3)


NUDGES = 8  # runs of the official code on pictures that differ in their last bit


def nudged(images: tuple[np.ndarray, ...], nudge: int) -> tuple[np.ndarray, ...]:
    """Pictures moved by about their last bit, for each `nudge` in another way; not at all for 0."""
    if not nudge:
        return images
    return tuple(x * uniform(f"nudge{nudge}", x.shape, 1 - 1e-7, 1 + 1e-7) for x in images)


def subsample(array: np.ndarray, limit: int = 20_000) -> np.ndarray:
    """About `limit` entries of a large array at a fixed odd stride, flat; a small one as it is."""
    if array.size <= limit:
        return array
    return array.reshape(-1)[:: (-(-array.size // limit)) | 1]


# What of a chain is kept whole; the rest, and the networks alone, are subsampled.
WHOLE = ("kp_source", "kp_driving", "bg_param", "deformation", "prediction", "occlusion_map")


# What the official networks do not return.
OURS = ("warps",)


def number_outputs(outputs: dict[str, Any]) -> dict[str, np.ndarray]:
    """A chain's outputs as one dict of arrays: lists numbered, absent ones and ours left out."""
    flat: dict[str, np.ndarray] = {}
    for name, value in outputs.items():
        if stage_of(name) in OURS:
            continue
        if isinstance(value, list | tuple):
            flat |= {f"{name}_{i}": np.asarray(item) for i, item in enumerate(value)}
        elif value is not None:
            flat[name] = np.asarray(value)
    return flat


def stage_of(name: str) -> str:
    """The stage a numbered or prefixed name belongs to: "a/occlusion_map_2" -> "occlusion_map"."""
    return name.rpartition("/")[2].rstrip("0123456789").rstrip("_")


def flatten_outputs(outputs: dict[str, Any]) -> dict[str, np.ndarray]:
    """A chain's outputs as they are kept: numbered, the large ones subsampled."""
    return {
        name: value if "/" not in name and stage_of(name) in WHOLE else subsample(value)
        for name, value in number_outputs(outputs).items()
    }


def spread_keypoints(name: str, batch: int, num_tps: int, motion: float = 0.08) -> np.ndarray:
    """[batch, num_tps * 5, 2]: crosses as the detector finds them, moved a little by `name`."""
    corners = np.array([[-1, -1], [1, -1], [0, 0], [-1, 1], [1, 1]], np.float32)
    center = uniform("spread/centre", (batch, num_tps, 1, 2), -0.4, 0.4)
    moved = uniform(f"spread/{name}", (batch, num_tps, 5, 2), -motion, motion)
    return (center + np.float32(0.35) * corners + moved).reshape(batch, num_tps * 5, 2)


class DenseMotionCase(NamedTuple):
    """The dense motion network alone, at 128 x 256."""

    multi_mask: bool
    background: bool
    dropout: bool


DENSE_MOTIONS = {
    "plain": DenseMotionCase(True, False, False),
    "background": DenseMotionCase(True, True, False),
    "dropout": DenseMotionCase(True, True, True),
    "single_mask": DenseMotionCase(False, True, False),
    "single_mask_dropout": DenseMotionCase(False, False, True),
}


def dense_motion_inputs(case: DenseMotionCase) -> dict[str, Any]:
    """Arguments of the dense motion network, batch 2."""
    background = None
    if case.background:
        background = np.broadcast_to(np.eye(3, dtype=np.float32), (2, 3, 3)).copy()
        background[:, :2] += uniform("background", (2, 2, 3), -0.1, 0.1)
    return {
        "source_image": pictures("source", 2, 128, 256),
        "kp_driving": spread_keypoints("driving", 2, 10),
        "kp_source": spread_keypoints("source", 2, 10),
        "bg_param": background,
        "kept_tps": uniform("kept", (2, 10), 0, 1) > 0.4 if case.dropout else None,
    }


def inpainting_inputs(multi_mask: bool) -> tuple[np.ndarray, dict[str, Any]]:
    """A source picture at 64 x 96 and a dense motion that reaches a little outside, batch 2."""
    height, width = 16, 24
    x, y = np.meshgrid(np.linspace(-1, 1, width), np.linspace(-1, 1, height))
    grid = np.stack([1.1 * x - 0.2 * y, 0.15 * x + 1.05 * y * np.abs(y)], axis=-1)
    shift = uniform("inpainting/shift", (2, 1, 1, 2), -0.1, 0.1)
    sizes = [(8, 12), (16, 24), (32, 48), (64, 96)] if multi_mask else [(height, width)]
    masks = [uniform(f"inpainting/mask{i}", (2, *size, 1), 0, 1) for i, size in enumerate(sizes)]
    return pictures("source", 2, 64, 96), {
        "deformation": (grid[None] + shift).astype(np.float32),
        "occlusion_map": tuple(masks),
        "contribution_maps": uniform("inpainting/maps", (2, height, width, 11), 0, 1),
        "deformed_source": uniform("inpainting/deformed", (2, 11, height, width, 3), 0, 1),
    }


ANIMATION = ChainCase(model_params(), 128, 128, background=False)
ANIMATION_MODES = ("standard", "relative", "avd")


def animation_pictures() -> tuple[np.ndarray, np.ndarray]:
    """A source picture [128, 128, 3] and five driving frames [5, 128, 128, 3], float32."""
    frames = [pictures("driving", 1, 128, 128, time)[0] for time in (0.0, 0.2, 0.5, 0.9, 1.4)]
    return pictures("source", 1, 128, 128)[0], np.stack(frames, axis=0)


# Reconstruction: of a chain's networks, clips by their numbers of frames.
RECONSTRUCTIONS = {"vox": (3, 2), "mgif": (2,), "ted": (2,)}
RECONSTRUCTION_L1 = 2e-5


def reconstruction_clips(name: str) -> dict[str, np.ndarray]:
    """Name -> moving pictures [T, H, W, 3] float32, multiples of 1/255."""
    case = CHAINS[name]
    return {
        f"clip{number}.mp4": np.concatenate(
            [
                pictures(f"clip{number}", 1, case.height, case.width, 0.4 * time)
                for time in range(count)
            ]
        )
        for number, count in enumerate(RECONSTRUCTIONS[name])
    }


# Gradients jump where a relu or a bilinear cell changes side, and rounding makes some of a large
# network's millions do so: moving the pictures by their last bit moves the official code's own
# float32 gradients of the vox networks by 1e-3 (flow) to 1e-2 (prediction) of their largest entry.
# These networks are so tiny that none does.
GRADIENTS = ChainCase(
    {
        "common_params": {"num_tps": 3, "num_channels": 3, "bg": True, "multi_mask": True},
        "generator_params": {"block_expansion": 4, "max_features": 16, "num_down_blocks": 3},
        "dense_motion_params": {
            "block_expansion": 4,
            "max_features": 16,
            "num_blocks": 2,
            "scale_factor": 0.25,
        },
        "avd_network_params": {"id_bottle_size": 8, "pose_bottle_size": 8},
    },
    32,
    32,
    seed=8,
)


def gradient_weights(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """The weights of the sum whose gradient is taken, sum(output * weights), [B, H, W, C].

    Smooth, so that the gradients of neighboring pixels add up rather than cancel.
    """
    batch, height, width, channels = shape
    x = np.linspace(-1, 1, width)[None, :, None]
    y = np.linspace(-1, 1, height)[:, None, None]
    slopes = uniform(f"gradient/{name}", (3, channels), -0.5, 0.5)
    weights = 1 + slopes[0] * x + slopes[1] * y + slopes[2] * (x * y)
    return np.broadcast_to(weights.astype(np.float32)[None], (batch, height, width, channels))


def gradient_samples(gradient: np.ndarray) -> np.ndarray:
    """[16] entries of a parameter's gradient, in PyTorch's layout, at a fixed stride."""
    taken = np.zeros(16, gradient.dtype)
    entries = gradient.reshape(-1)[:: max(gradient.size // 16, 1) | 1][:16]
    taken[: entries.size] = entries
    return taken
