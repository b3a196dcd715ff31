"""Reads data sets that `python -m data.prepare` has made: of a clip only the two frames asked for.

from data.prepared import is_prepared, open_prepared
clips = open_prepared("DIR", "train")
earlier, later = clips[0].pair(0.2, 0.7)  # [H, W, 3] uint8
"""

from data.prepared.reader import PreparedClip, is_prepared, open_prepared

__all__ = ["PreparedClip", "is_prepared", "open_prepared"]
