"""Every field of a config, given anything: it is taken, or named in one line."""

import contextlib
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ml_collections import ConfigDict

import tpsm_jax.config
from configs.base import get_base_config
from data.loader import open_dataset
from data.resize_crop import ResizeCrop
from tests.helpers.odd_words import ODD, Workplace, examples, stop
from tests.helpers.tiny_training import tiny_config
from tests.unit.fuzz.test_flags import main_of, stub_shapes
from tpsm_jax.config import validate
from tpsm_jax.errors import InputError
from tpsm_jax.training.fields import FIELDS

# Sections that no code reads, and the official files' fields in the others that none reads.
UNREAD = ("visualizer_params.", "train_params.checkpoint_freq", "train_avd_params.checkpoint_freq")


def names_of(section: ConfigDict, prefix: str = "") -> list[str]:
    names = []
    for name in section:
        value = section.get(name)
        inside = isinstance(value, ConfigDict) and len(value)
        names += names_of(value, f"{prefix}{name}.") if inside else [prefix + name]
    return names


NAMES = [name for name in names_of(get_base_config()) if not name.startswith(UNREAD)]
NUMBERS = st.one_of(
    st.integers(),
    st.floats(),
    st.sampled_from(
        [0, -1, 1, 2, 0.5, 1.0, 2**31, 2**32, 2**63, 2**67, -(2**67), math.nan, math.inf]
    ),
)
SIMPLE = st.one_of(st.none(), st.booleans(), NUMBERS, st.text(max_size=8), st.sampled_from(ODD))
VALUES = st.recursive(
    SIMPLE,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(st.text(max_size=4), inner, max_size=2),
    ),
    max_leaves=5,
)


def changed(name: str, value: Any) -> ConfigDict:
    """A config in which a field has a value of any type, as a configuration file can give it."""
    config = tiny_config()
    *sections, field = name.split(".")
    with config.unlocked(), config.ignore_type():
        place = config
        for section in sections:
            place = place[section]
        place[field] = value
    return config


def check(name: str, value: Any, stage: str) -> bool:
    """Whether the value is taken; fails if it is neither taken nor named."""
    try:
        config = changed(name, value)
    except (TypeError, ValueError, AttributeError, KeyError):
        return False  # no configuration file can say so
    try:
        validate(config, stage, 1)
    except InputError:
        return False
    # What takes place next, before the first compilation.
    with contextlib.suppress(InputError):
        open_dataset(config)
    with contextlib.suppress(InputError):  # a resize without a crop
        ResizeCrop.from_config(config.dataset_params.augmentation_params)
    return True


def test_every_field_that_is_read_has_a_rule():
    assert sorted(NAMES) == sorted(FIELDS)


@pytest.mark.parametrize(
    ("name", "value", "rest"),
    [
        ("seed", 2**67, "at least 0 and at most 4294967295, a whole number"),
        ("seed", 2**32, "at least 0 and at most 4294967295"),
        ("train_params.scales", (), "a tuple of numbers above 0, 1 or less, at least 1"),
        ("train_params.scales", (1, math.nan), "a tuple of numbers"),
        ("train_params.scales", 1, "a tuple of numbers"),
        ("image_size", (64,), r"\(height, width\), whole numbers from 1"),
        ("image_size", 64, r"\(height, width\)"),
        ("image_size", (64.0, 64.0), r"\(height, width\)"),
        ("train_params.lr_generator", math.inf, "a number, at least 0"),
        ("train_params.epoch_milestones", (0.5,), "a tuple of epochs"),
        ("train_params.transform_params.points_tps", 0, "at least 1 and at most 100"),
        ("dataset_params.augmentation_params.jitter_param.hue", "red", "a number"),
        ("remat", "vgg19", "a tuple of names"),
        ("remat", (1,), "a tuple of names"),
        ("tensorboard", 1, "True or False"),
        ("total_steps", True, "at least 0, a whole number"),
        ("model_params.common_params.num_channels", 4, "3: pictures are RGB"),
        (
            "model_params.dense_motion_params.num_blocks",
            10**9,
            "at least 1 and at most 10, a whole number",
        ),
        ("vgg19_dir", "a\0b", "text"),
    ],
)
def test_the_field_is_named(name, value, rest):
    with pytest.raises(InputError, match=rf"config\.{name} is .* and must be {rest}"):
        validate(changed(name, value), "model", 1)


@pytest.mark.parametrize("section", ["train_params", "dataset", "train_params.loss_weights"])
def test_a_section_that_is_none_is_named(section):
    with pytest.raises(InputError, match=f"config.{section} is 3 and must be a section of fields"):
        validate(changed(section, 3), "model", 1)


def test_a_field_that_is_missing_is_named():
    config = tiny_config()
    with config.unlocked():
        del config.train_params.lr_generator
    with pytest.raises(InputError, match="the config has no field train_params.lr_generator"):
        validate(config, "model", 1)


def fuzz(count: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tpsm_jax.config, "variable_shapes", stub_shapes)
        patch.setattr("data.roots.draw_data_set", stop)

        @examples(count)
        @given(st.sampled_from(NAMES), VALUES, st.sampled_from(["model", "avd"]))
        def run(name, value, stage):
            check(name, value, stage)

        run()


def test_any_value_in_any_field():
    fuzz(60)


@pytest.mark.long
def test_many_values_in_any_field():
    fuzz(10_000)


@pytest.mark.long
@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("model_params")])
def test_networks_of_any_size_are_described_or_refused(name):
    """With the real tracing of the networks, which are computed nowhere."""
    values = [0, 1, 2, 3, 5, 7, 8, 100, 0.1, 0.25, 0.5, 1.0, True, False, None, "tpsm", "affine"]
    taken = [value for value in values if check(name, value, "model")]
    assert taken


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    return Workplace(tmp_path_factory.mktemp("fuzz"))


def fuzz_overrides(workplace: Workplace, count: int) -> set[str]:
    said = set()
    fields = st.one_of(st.sampled_from(NAMES), st.sampled_from([n.split(".")[0] for n in NAMES]))
    texts = st.one_of(VALUES.map(repr), st.sampled_from(ODD), st.text(max_size=12))
    override = st.builds(lambda name, text: f"--config.{name}={text}", fields, texts)

    with pytest.MonkeyPatch.context() as patch:
        main = main_of("train", patch)
        patch.setattr("data.roots.draw_data_set", stop)

        @examples(count)
        @given(st.lists(override, min_size=1, max_size=3))
        def run(overrides):
            words = ["--config", "in/config.py", "--workdir", "out", *overrides]
            said.add(workplace.run(main, words))

        run()
    return said


@pytest.mark.slow
def test_any_override(workplace):
    assert len(fuzz_overrides(workplace, 60)) > 10


@pytest.mark.long
def test_many_overrides(workplace):
    assert len(fuzz_overrides(workplace, 1_000)) > 100
