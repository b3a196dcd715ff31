"""The page that participants see: one file, clips and all, that needs no network."""

import base64
import hashlib
import json
from importlib import resources
from pathlib import Path
from typing import Any

from tpsm_jax.errors import InputError
from tpsm_jax.evaluation.user_study import FORMAT, QUESTIONS, VERSION
from tpsm_jax.runtime.atomic_files import replace_text

# Formats that browsers play.
_MEDIA_TYPES = {
    ".mp4": "video/mp4",
    ".webm": "video/webm",
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".apng": "image/apng",
}
_PLACE = "STUDY_DATA"


def make_page(
    a: Path, b: Path, output: Path, names: tuple[str, str] | None = None
) -> tuple[Path, int]:
    """Writes the page that compares the clips of two folders, pair by pair.

    Args:
      a: folder of one method's clips: .mp4 (H.264), .webm, .gif, .webp or .apng.
      b: folder of the other's, with the same names but for the suffix.
      output: folder for index.html; its other files are left alone.
      names: the two methods' names for the count, which participants do not see. If None, the
        last parts of the folders' paths that differ.

    Returns:
      The page, and the number of pairs. Equal clips make an equal page.

    Raises:
      InputError: the folders or names are the same, a folder holds no clips, or a clip has no
        partner.
    """
    clips_a, clips_b = _clips(a), _clips(b)
    if a.resolve() == b.resolve():
        raise InputError(f"{a} and {b} are one folder: give those of two methods")
    name_a, name_b = names or _distinct(a, b)
    if name_a == name_b:
        raise InputError(f"both methods are named {name_a}: give two names")
    for here, there, folder in ((clips_a, clips_b, b), (clips_b, clips_a, a)):
        alone = sorted(here.keys() - there.keys())
        if alone:
            raise InputError(
                f"{here[alone[0]]} has no partner in {folder} ({len(alone)} such clips): "
                "give two folders with clips of the same names"
            )
    pairs = [
        {"name": name, "a": _data_url(clips_a[name]), "b": _data_url(clips_b[name])}
        for name in sorted(clips_a)
    ]
    content: dict[str, Any] = {"a": name_a, "b": name_b, "pairs": pairs}
    study = hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]
    content |= {"format": FORMAT, "version": VERSION, "study": study, "questions": QUESTIONS}
    # "</script>" within the data would end it.
    data = json.dumps(content).replace("<", "\\u003c")
    page = resources.files(__package__).joinpath("page.html").read_text(encoding="utf-8")
    place = output / "index.html"
    output.mkdir(parents=True, exist_ok=True)
    replace_text(place, page.replace(_PLACE, data))
    return place, len(pairs)


def _clips(folder: Path) -> dict[str, Path]:
    """Stem -> file."""
    clips: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.suffix.lower() not in _MEDIA_TYPES:
            continue
        if path.stem in clips:
            raise InputError(f"{clips[path.stem]} and {path} are two clips of one name: remove one")
        clips[path.stem] = path
    if not clips:
        raise InputError(
            f"{folder} holds no clips: {', '.join(_MEDIA_TYPES)} is what browsers play"
        )
    return clips


def _data_url(path: Path) -> str:
    data = path.read_bytes()
    if not data:
        raise InputError(f"{path} is empty")
    return f"data:{_MEDIA_TYPES[path.suffix.lower()]};base64,{base64.b64encode(data).decode()}"


def _distinct(a: Path, b: Path) -> tuple[str, str]:
    """The last parts of both paths that differ: a and b for a/video and b/video."""
    parts_a, parts_b = a.resolve().parts[::-1], b.resolve().parts[::-1]
    both = zip(parts_a, parts_b, strict=False)
    same = next(index for index, (one, other) in enumerate(both) if one != other)
    return parts_a[same], parts_b[same]
