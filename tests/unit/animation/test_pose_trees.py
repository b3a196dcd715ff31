"""Animation, evaluation and export of a family whose pose is a tree: points, and a matrix each."""

import dataclasses
import json

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from tpsm_jax.animation import export
from tpsm_jax.animation.animator import Animator
from tpsm_jax.animation.keypoints import relative_scale
from tpsm_jax.animation.programs import animation_variables, available_modes
from tpsm_jax.errors import InputError
from tpsm_jax.evaluation.reconstruction import Reconstructor
from tpsm_jax.models import registry
from tpsm_jax.models.interface import Family, Network

SIZE = 8
SQUARE = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], np.float32)
CONFIG = ConfigDict({"image_size": (SIZE, SIZE), "model_params": {"family": "matrices"}})
VARIABLES = {"params": {"detector": {"one": np.float32(1)}, "unused": {}}, "batch_stats": {}}


class Matrices:
    """A square as large as the picture is red, turned into as much green as its matrices say."""

    modes = ("relative", "standard", "avd")
    outputs_for_losses = ()
    detector = translator = None

    def apply(self, variables, *args, method):
        assert set(variables["params"]) >= {"detector"}
        return getattr(self, method)(*args)

    def encode_source(self, source):
        return {"source": source, "kp_source": self.keypoints(source)}

    def keypoints(self, images):
        red, green, _ = jnp.moveaxis(images.mean(axis=(1, 2)), -1, 0)
        matrices = (green[:, None, None, None] + 0.5) * np.broadcast_to(
            np.eye(2, dtype=np.float32), (1, 4, 2, 2)
        )
        return {"value": red[:, None, None] * SQUARE[None], "jacobian": matrices}

    def points(self, pose):
        return pose["value"]

    def relative(self, source, driving, initial, scale):
        change = driving["jacobian"] @ jnp.linalg.inv(initial["jacobian"])
        return {
            "value": (driving["value"] - initial["value"]) * scale + source["value"],
            "jacobian": change @ source["jacobian"],
        }

    def disentangle(self, source, driving):
        return {"value": source["value"], "jacobian": driving["jacobian"]}

    def generate(self, encoded, pose, bg_param=None):
        red = pose["value"][:, 2, 0]
        green = pose["jacobian"][:, 0, 0, 0] - 0.5
        color = jnp.stack([red, green, 0 * red], axis=-1)[:, None, None]
        shape = (red.shape[0], *encoded["source"].shape[1:])
        return {"prediction": jnp.broadcast_to(color, shape), "kp_driving": pose}

    def reconstruct(self, encoded, driving):
        return self.generate(encoded, self.keypoints(driving))


MODEL = Matrices()


@pytest.fixture(autouse=True)
def _family(monkeypatch):
    networks = (Network("detector", "one"), Network("unused", "one", lost_without="-", modes=()))
    networks += (Network("translator", "one", lost_without="-", modes=("avd",)),)
    family = Family("matrices", networks, (), lambda *_, **__: MODEL, lambda _: 1)
    monkeypatch.setitem(registry.FAMILIES, "matrices", family)


def pictures(*reds_and_greens):
    return [np.full((SIZE, SIZE, 3), (*each, 0), np.float32) for each in reds_and_greens]


def with_avd():
    return {**VARIABLES, "params": {**VARIABLES["params"], "translator": {}}}


SOURCE = pictures((0.5, 0.4))[0]
CLIP = pictures((0.2, 0.1), (0.3, 0.1), (0.25, 0.7), (0.2, 0.4), (0.4, 0.2))


def colors(frames):
    return [frame[0, 0, :2] for frame in frames]


def expected(mode, initial=0):
    """Red and green of the frames."""
    found = []
    first = CLIP[initial][0, 0]
    for red, green, _ in (frame[0, 0] for frame in CLIP):
        if mode == "relative":
            scale = relative_scale(0.5 * SQUARE, first[0] * SQUARE)
            found.append(
                ((red - first[0]) * scale + 0.5, (green + 0.5) / (first[1] + 0.5) * 0.9 - 0.5)
            )
        else:
            found.append((0.5 if mode == "avd" else red, green))
    return found


@pytest.mark.parametrize("mode", Matrices.modes)
def test_frames_of_every_mode(mode):
    checkpoint = CONFIG, MODEL, with_avd()
    animator = Animator(checkpoint, SOURCE, mode=mode, batch_size=2, output_dtype=np.float32)
    np.testing.assert_allclose(colors(animator.animate(CLIP)), expected(mode), atol=1e-5)
    assert animator.kp_source["jacobian"].shape == (4, 2, 2)


def test_the_best_frame_is_an_initial_pose():
    animator = Animator((CONFIG, MODEL, VARIABLES), SOURCE, batch_size=2, output_dtype=np.float32)
    best = animator.find_best_frame(CLIP)
    expected_pose = CLIP[best.number][0, 0, 0] * SQUARE
    np.testing.assert_allclose(best.keypoints["value"], expected_pose, rtol=1e-6)
    frames = animator.animate(CLIP, kp_driving_initial=best.keypoints)
    np.testing.assert_allclose(colors(frames), expected("relative", best.number), atol=1e-5)


def test_networks_are_chosen_by_the_registry():
    animator = Animator((CONFIG, MODEL, with_avd()), SOURCE)
    assert set(animator._variables["params"]) == {"detector"}
    with pytest.raises(InputError, match="weights of translator.* use mode 'relative' or 'stand"):
        Animator((CONFIG, MODEL, VARIABLES), SOURCE, mode="avd")


@pytest.mark.parametrize("mode", ["reconstruction", "relative", "standard"])
def test_evaluation(mode):
    reconstructor = Reconstructor(
        (CONFIG, MODEL, VARIABLES), mode=mode, batch_size=2, devices=jax.devices()[:1]
    )
    clip = [np.rint(frame * 255).astype(np.uint8) for frame in CLIP]
    source = None if mode == "reconstruction" else np.rint(SOURCE * 255).astype(np.uint8)
    seen = []
    result = reconstructor.run(
        clip, source=source, sink=lambda _, results, truth: seen.extend(results)
    )
    frames = np.clip(expected(mode), 0, 1) * 255
    np.testing.assert_allclose(colors(seen), frames, atol=2)
    assert result.frames == len(CLIP)
    assert "keypoints" in result.metrics


def test_the_exported_file(tmp_path, monkeypatch):
    monkeypatch.setattr(export, "PLATFORMS", {"cpu": "cpu"})
    path = tmp_path / "x.jaxexport"
    export.export_animation((CONFIG, MODEL, VARIABLES), path, output_dtype=np.float32)
    with np.load(path) as archive:
        header = json.loads(archive["header.json"])
        functions = {
            name: jax.export.deserialize(bytearray(archive[f"functions/cpu/{name}"])).call
            for name in header["functions"]
        }
        weights = {name: archive[name] for name in archive.files if name.startswith("weights/")}
    assert set(functions) == {
        "encode_source",
        "find_keypoints",
        "next_frames_relative",
        "next_frames_standard",
    }
    encoded = functions["encode_source"](weights, SOURCE[None])
    initial = jax.tree.map(lambda x: x[0], functions["find_keypoints"](weights, np.stack(CLIP)))
    scale = np.float32(relative_scale(0.5 * SQUARE, initial["value"]))
    frames = functions["next_frames_relative"](weights, encoded, np.stack(CLIP), initial, scale)
    np.testing.assert_allclose(colors(frames), expected("relative"), atol=1e-5)


def test_a_network_that_the_model_works_without_is_needed_by_no_mode():
    optional = Network("extra", optimizer="one", lost_without="a correction", can_be_none=True)
    family = registry.FAMILIES["matrices"]
    family = dataclasses.replace(family, networks=(*family.networks, optional))
    assert available_modes(MODEL, family, VARIABLES) == ["relative", "standard"]
    needed = animation_variables(MODEL, family, VARIABLES, ["standard"])
    assert needed["params"].keys() == {"detector"}
