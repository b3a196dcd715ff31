"""Evaluation of the weights that training has come to, laid out as training has them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from tests.helpers.halfway import Halfway
from tests.helpers.tiny_training import SIZE, tiny_config
from tpsm_jax.errors import InputError
from tpsm_jax.evaluation import in_training, reconstruction
from tpsm_jax.evaluation.clip_frames import EvaluationClip
from tpsm_jax.evaluation.in_training import InTrainingEvaluation
from tpsm_jax.models.registry import build_model
from tpsm_jax.parallel.sharding import make_mesh

HALFWAY = Halfway()  # one, or it would be compiled again and again


def gray(name, *values):
    frames = [np.full((SIZE, SIZE, 3), value, np.uint8) for value in values]
    return EvaluationClip(name, lambda: iter(frames))


def broken(name):
    def frames():
        yield np.zeros((SIZE, SIZE, 3), np.uint8)
        raise InputError(f"the clip {name} cannot be decoded")

    return EvaluationClip(name, frames)


def never():
    return False


@pytest.fixture
def evaluation(monkeypatch):
    """Of clips by a model that is half wrong."""
    monkeypatch.setattr(in_training, "build_model", lambda _: HALFWAY)

    def made(*clips, devices=2, **fields):
        return InTrainingEvaluation(
            tiny_config(**fields), make_mesh(jax.devices()[:devices]), clips
        )

    return made


def test_numbers_of_the_first_frames(evaluation):
    clips = gray("a", 0, 100, 200, 255), gray("b", 0, 50)
    found = evaluation(*clips, eval_frames=3)({}, never)
    assert found["eval/l1_static"] == pytest.approx(350 / 5 / 255)
    assert found["eval/l1"] == pytest.approx(175 / 5 / 255)
    assert found["eval/change_ratio"] == pytest.approx(0.5)
    assert found["eval/clips"] == 2
    assert {"eval/psnr", "eval/ssim", "eval/keypoints", "eval/flicker"} <= found.keys()
    assert all(type(value) in (int, float) for value in found.values())


def test_frames_are_read_no_further(evaluation):
    read = []

    def frames():
        for number in range(100):
            read.append(number)
            yield np.zeros((SIZE, SIZE, 3), np.uint8)
        read.append("closed")

    evaluation(EvaluationClip("a", frames), eval_frames=3)({}, never)
    assert read == [0, 1, 2]


@pytest.mark.parametrize(
    ("devices", "frames", "expected"), [(1, 64, 1), (8, 64, 8), (8, 3, 8), (2, 3, 2)]
)
def test_frames_that_are_computed_together(evaluation, monkeypatch, devices, frames, expected):
    batches = []
    monkeypatch.setattr(
        in_training, "Reconstructor", lambda *_, batch_size, devices: batches.append(batch_size)
    )
    evaluation(gray("a", 0), devices=devices, eval_frames=frames)({}, lambda: True)
    # An accelerator takes sixteen a device, but no more than a clip has.
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    evaluation(gray("a", 0), devices=devices, eval_frames=frames)({}, lambda: True)
    assert batches == [expected, min(16 * devices, -(-frames // devices) * devices)]


def test_a_clip_that_cannot_be_read_is_reported_once_and_left_out(evaluation, capsys):
    evaluate = evaluation(gray("a", 0, 100), broken("b"), gray("c", 0, 200))
    for _ in range(2):
        found = evaluate({}, never)
        assert found["eval/clips"] == 2
        assert found["eval/l1"] == pytest.approx(300 / 2 / 4 / 255)
    assert capsys.readouterr().err == "left out: the clip b cannot be decoded\n"


def test_none_that_can_be_read(evaluation):
    with pytest.raises(InputError, match="none of the 2 test clips can be read; .* the clip a "):
        evaluation(broken("a"), broken("b"))({}, never)


def test_it_gives_up_between_clips(evaluation):
    read = []

    def noted(name):
        def frames():
            read.append(name)
            return iter([np.zeros((SIZE, SIZE, 3), np.uint8)])

        return EvaluationClip(name, frames)

    evaluate = evaluation(*map(noted, "abcd"))
    assert evaluate({}, lambda: len(read) == 2) == {}
    assert read == ["a", "b"]


def test_hosts_with_different_clips(evaluation, monkeypatch):
    monkeypatch.setattr(in_training, "same_everywhere", lambda _: False)
    with pytest.raises(InputError, match="hosts see different test clips in"):
        evaluation(gray("a", 0))


@pytest.mark.parametrize("processes", [1, 2, 3, 5])
def test_processes_share_the_clips_and_all_have_the_numbers(evaluation, monkeypatch, processes):
    """One after the other, each stopping where it would wait for the others."""
    clips = [gray("a", 0, 7), broken("b"), gray("c", 0, 100, 30), gray("d", 1, 2), gray("e", 9, 1)]
    expected = evaluation(*clips)({}, never)
    monkeypatch.setattr(jax, "process_count", lambda: processes)
    shares, asked = [], []
    for index in range(processes):
        monkeypatch.setattr(jax, "process_index", lambda index=index: index)
        monkeypatch.setattr(in_training, "gathered", lambda share: shares.append(share) or share)
        monkeypatch.setattr(InTrainingEvaluation, "_totals", lambda self, share: {})
        times = []
        monkeypatch.setattr(in_training, "same_everywhere", lambda _: True)
        evaluation(*clips)({}, lambda times=times: bool(times.append(1)))
        asked.append(len(times))
    monkeypatch.undo()
    assert len(set(asked)) == 1  # or they would wait for one another forever
    made = InTrainingEvaluation(tiny_config(), make_mesh(jax.devices()[:1]), clips)
    assert made._totals(shares) == expected


class Weighted(Halfway):
    """Predicts black but for the mean of its one parameter."""

    def apply(self, variables, *args, method):
        made = super().apply(variables, *args, method=method)
        if method != "reconstruct":
            return made
        weight = variables["params"]["network"]["weight"].mean()
        return {**made, "prediction": weight * jnp.ones_like(made["prediction"])}


def test_parameters_that_are_cut_and_programs_that_are_kept(monkeypatch):
    model = Weighted()
    monkeypatch.setattr(in_training, "build_model", lambda _: model)
    mesh = make_mesh(jax.devices()[:4])
    evaluate = InTrainingEvaluation(tiny_config(), mesh, [gray("a", 0, 0), gray("b", *range(9))])
    compiled = (reconstruction._encode, reconstruction._drive, reconstruction.measure)
    weight = np.float32([0, 0.25, 0.5, 0.25])
    before = {}
    for layout in (P(), P("data")):
        placed = jax.device_put(weight, NamedSharding(mesh, layout))
        found = evaluate({"params": {"network": {"weight": placed}}}, never)
        clip_b = np.abs(0.25 - np.arange(9) / 255).sum()
        assert found["eval/l1"] == pytest.approx((2 * 0.25 + clip_b) / 11)
        placed.delete()  # as the next step of training does
        sizes = [function._cache_size() for function in compiled]
        assert before.setdefault("sizes", sizes) == sizes


def test_it_computes_in_float32_whatever_training_does():
    """As eval.py, so that its numbers are those."""
    config = tiny_config(compute_dtype="bfloat16", remat=("kp_detector",))
    evaluate = InTrainingEvaluation(config, make_mesh(), [gray("a", 0)])
    assert evaluate._model == build_model(config.model_params)
