"""The shares of answers for either method, with intervals."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from scipy.stats import binomtest

from tpsm_jax.errors import InputError
from tpsm_jax.evaluation.user_study import FORMAT, QUESTIONS, VERSION
from tpsm_jax.runtime.json_files import parse_json

CONFIDENCE = 0.95


class Preference(NamedTuple):
    """How often the first method was preferred.

    Attributes:
      share: the share of the answers, in [0, 1].
      low: the lower end of Wilson's interval at `CONFIDENCE`.
      high: the upper end.
      answers: the number of answers.
    """

    share: float
    low: float
    high: float
    answers: int


class Count(NamedTuple):
    """A study's outcome.

    Attributes:
      a: the first method's name.
      b: the second method's name.
      participants: the number of participants.
      preferences: question -> how often `a` was preferred.
      left: how often the clip on the left was preferred; about one half unless people clicked
        blindly.
    """

    a: str
    b: str
    participants: int
    preferences: dict[str, Preference]
    left: Preference


def count_answers(paths: Sequence[Path]) -> Count:
    """Adds up the answers of all participants.

    Args:
      paths: the files that the page exported, at least one.

    Returns:
      The count.

    Raises:
      InputError: a file is not an export of the page, belongs to another study, or is there twice.
    """
    files = {path: _read(path) for path in paths}
    first_path, first = next(iter(files.items()))
    participants: dict[str, Path] = {}
    for path, file in files.items():
        if file["study"] != first["study"]:
            raise InputError(f"{path} and {first_path} are answers to different studies")
        other = participants.setdefault(file["participant"], path)
        if other != path:
            raise InputError(f"{path} and {other} are of the same participant: keep one of them")
    answers = [answer for file in files.values() for answer in file["answers"]]
    chosen = {question: [answer[question] for answer in answers] for question in QUESTIONS}
    lefts = [answer[question] == answer["left"] for answer in answers for question in QUESTIONS]
    return Count(
        a=first["a"],
        b=first["b"],
        participants=len(files),
        preferences={
            question: preference(sum(each == "a" for each in all_), len(all_))
            for question, all_ in chosen.items()
        },
        left=preference(sum(lefts), len(lefts)),
    )


def preference(favorable: int, answers: int) -> Preference:
    """Computes a share and Wilson's interval, which stays within [0, 1] even for few answers.

    Args:
      favorable: answers for the method.
      answers: all answers, at least one.

    Returns:
      The share. The interval takes answers as independent.
    """
    interval = binomtest(favorable, answers).proportion_ci(CONFIDENCE, method="wilson")
    return Preference(favorable / answers, float(interval.low), float(interval.high), answers)


def _read(path: Path) -> dict[str, Any]:
    try:
        file = parse_json(path.read_text(encoding="utf-8"))
    except ValueError:
        raise InputError(f"{path} is not JSON, or cut short") from None
    if not isinstance(file, dict) or file.get("format") != FORMAT:
        raise InputError(f"{path} is no file of answers that the study's page saved")
    if file.get("version") != VERSION:
        raise InputError(
            f"{path} is of version {file.get('version')!r}, and {VERSION} is read here"
        )
    texts = ("study", "participant", "a", "b")
    if not all(isinstance(file.get(key), str) for key in texts) or not _complete(file):
        raise InputError(f"{path} has been changed: answers are missing, doubled or unknown")
    return file


def _complete(file: dict[str, Any]) -> bool:
    answers = file.get("answers")
    if not isinstance(answers, list) or not answers:
        return False
    fields = ("left", *QUESTIONS)
    if not all(
        isinstance(answer, dict)
        and isinstance(answer.get("pair"), str)
        and all(answer.get(field) in ("a", "b") for field in fields)
        for answer in answers
    ):
        return False
    return len({answer["pair"] for answer in answers}) == len(answers) == file.get("pairs")
