"""What someone should know of the clips of a data set before they are used."""

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from data.clip import Clip, clip_suffixes
from data.clips import FolderClip, StripClip
from tpsm_jax.errors import InputError
from tpsm_jax.media.picture_folder import count_kinds, describe_kinds


def passed_over(folder: Path, clips: Sequence[Clip]) -> list[str]:
    """What is not read in a folder of clips.

    Args:
      folder: the folder.
      clips: its clips, or some of them. What their folders of frames hold besides pictures counts.

    Returns:
      One line that counts the files by kind, or none.

    Raises:
      InputError: the folder cannot be listed.
    """
    try:
        others = count_kinds(
            path
            for path in folder.iterdir()
            # A link to nothing is a broken clip.
            if path.suffix.lower() not in clip_suffixes() and path.exists() and not path.is_dir()
        )
    except OSError as error:
        raise InputError(f"cannot read the folder {folder}: {error.strerror}") from None
    inside: Counter[str] = Counter()
    for clip in clips:
        if isinstance(clip, FolderClip) and not clip.problem():
            inside += clip.contents[1]
    parts = [describe_kinds(others)] if others else []
    parts += [f"{describe_kinds(inside)} in folders of frames"] if inside else []
    return [f"{folder}: passed over {' and '.join(parts)}"] if parts else []


def single_frames(place: Path, clips: Sequence[Clip]) -> list[str]:
    """Clips of which source and driving are the same frame.

    Args:
      place: where the clips are from.
      clips: the clips of a split.

    Returns:
      One line that counts them, or none. Clips that only decoding would tell about do not count.
    """
    count = _count_single(clips)
    if not count:
        return []
    return [f"{count} of the {len(clips)} clips of {place} have a single frame, and no motion"]


def check_motion(place: Path, clips: Sequence[Clip]) -> None:
    """Makes sure that the frames of a video are not taken for clips.

    Args:
      place: where the clips are from.
      clips: the clips of a split.

    Raises:
      InputError: all of them are pictures of a single frame each.
    """
    if not clips:
        return
    if all(isinstance(clip, StripClip) for clip in clips) and _count_single(clips) == len(clips):
        raise InputError(
            f"all {len(clips)} clips of {place} have a single frame: a video's frames go into a "
            "folder of their own"
        )


def _count_single(clips: Sequence[Clip]) -> int:
    with ThreadPoolExecutor() as pool:  # on a network disk this mostly waits
        return sum(pool.map(lambda clip: clip.has_one_frame, clips))
