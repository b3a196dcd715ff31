"""Every flag of every command, given anything: it is taken, or answered in one line."""

import argparse
import importlib
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.odd_words import ODD, Workplace, command_lines, examples, flags_of, stop
from tests.helpers.tiny_training import tiny_config

NOTHING = ("use_compilation_cache", "keep_freed_memory", "initialize")
SHAPES = {"params": {"kp_detector": {"kernel": 0}}, "batch_stats": {}}


def stub_shapes(params: Any, *, networks: Any = None) -> Any:
    """Instead of tracing the networks."""
    del params, networks
    return SHAPES


def one_checkpoint(*_: Any, **__: Any) -> Any:
    return [SimpleNamespace(config=tiny_config())]


# Module -> what is replaced in it, and the words that most lines have.
COMMANDS: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "train": (
        {
            "make_mesh": lambda: SimpleNamespace(size=1),
            "same_everywhere": lambda number: True,
            "make_model_trainer": stop,
            "make_avd_trainer": stop,
        },
        {"config": "in/config.py", "workdir": "out"},
    ),
    "eval": (
        {
            "load_checkpoints": one_checkpoint,
            "choose_checkpoints": one_checkpoint,
            "evaluate": stop,
        },
        {"checkpoint": "in/empty", "data": "in/data", "output": "out"},
    ),
    "animate": (
        {"load_checkpoint": stop},
        {
            "checkpoint": "in/empty",
            "source": "in/source.png",
            "driving": "in/source.png",
            "output": "out.mp4",
        },
    ),
    "convert_torch_weights": (
        dict.fromkeys(("save_checkpoint", "save_vgg19", "write_torch_file"), stop),
        {"checkpoint": "in/weights.pth", "config": "in/config.py", "output": "out"},
    ),
    "data.prepare.__main__": (
        {"write_shards": stop},
        {"dataset": "clips", "input": "in/data", "output": "out"},
    ),
    "data.puppets.__main__": ({}, {"output": "out", "clips": "1", "frames": "1", "size": "16"}),
    "detectors.table": (
        {"write_rows": stop},
        {
            "input": "in/data",
            "output": "out.jsonl",
            "detector": "tests.helpers.brightest:Brightest",
        },
    ),
    "tpsm_jax.animation.export": (
        {"load_checkpoint": stop},
        {"checkpoint": "in/empty", "output": "out.jaxexport"},
    ),
    "tpsm_jax.evaluation.keypoint_tables": (
        {},
        {"truth": "in/table.jsonl", "result": "in/table.jsonl"},
    ),
    "tpsm_jax.evaluation.user_study.__main__": ({}, {}),
    "benchmarks.animate": ({"main": "parse_arguments"}, {"checkpoint": "in/empty"}),
    "benchmarks.data": ({"main": "parse_arguments"}, {}),
    "benchmarks.evaluate": ({"main": "parse_arguments"}, {"checkpoint": "in/empty"}),
    "benchmarks.ops": ({"main": "parse_arguments"}, {}),
    "benchmarks.parts": ({"main": "parse_arguments"}, {}),
    "benchmarks.train_step": ({"main": "parse_arguments"}, {}),
}


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    return Workplace(tmp_path_factory.mktemp("fuzz"))


def main_of(name: str, patch: pytest.MonkeyPatch) -> Callable[[], Any]:
    """The command's main, without the work that follows its checks."""
    module = importlib.import_module(name)
    replaced = COMMANDS[name][0]
    for function in NOTHING:
        if hasattr(module, function):
            patch.setattr(module, function, lambda *_: None)
    patch.setattr("tpsm_jax.config.variable_shapes", stub_shapes)
    patch.setattr("data.puppets.data_set.clip_frames", stop)
    for function, instead in replaced.items():
        if function != "main":
            patch.setattr(module, function, instead)
    return getattr(module, replaced.get("main", "main"))


def fuzz(name: str, workplace: Workplace, count: int, **usual: str) -> set[str]:
    """Runs `count` command lines, and returns the lines that they ended in."""
    said: set[str] = set()
    with pytest.MonkeyPatch.context() as patch:
        main = main_of(name, patch)

        @examples(count)
        @given(st.data())
        def run(data):
            words = data.draw(command_lines(actions, **{**COMMANDS[name][1], **usual}))
            said.add(workplace.run(main, words))

        actions = flags_of(main)
        run()
    return said


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_any_flags(name, workplace):
    assert len(fuzz(name, workplace, 25)) > 3


@pytest.mark.long
@pytest.mark.parametrize("name", COMMANDS)
def test_many_flags(name, workplace):
    assert len(fuzz(name, workplace, 400)) > 10


@pytest.mark.long
@pytest.mark.parametrize("name", COMMANDS)
def test_every_odd_word_for_every_flag(name, workplace):
    usual = COMMANDS[name][1]
    with pytest.MonkeyPatch.context() as patch:
        main = main_of(name, patch)
        for action in flags_of(main):
            others = {f"--{flag}": word for flag, word in usual.items()}
            for flag in action.option_strings:
                others.pop(flag, None)
            count = {None: 1, "+": 1, "*": 1, "?": 1, argparse.PARSER: 1}.get(
                action.nargs, action.nargs
            )
            for word in ODD if count else ODD[:1]:
                words = [part for pair in others.items() for part in pair]
                workplace.run(main, [*words, *action.option_strings[:1], *[word] * count])


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in COMMANDS if stop in COMMANDS[n][0].values()])
def test_the_usual_words_are_taken(name, workplace):
    """Or the fuzz would see nothing but the first check."""
    usual = COMMANDS[name][1]
    words = [word for flag, value in usual.items() for word in (f"--{flag}", value)]
    with pytest.MonkeyPatch.context() as patch:
        said = workplace.run(main_of(name, patch), words)
    assert said.startswith(
        "error: in/weights.pth" if name.startswith("convert") else "error: stopped"
    )
