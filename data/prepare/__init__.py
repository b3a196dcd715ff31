"""Prepared data sets: `python -m data.prepare` makes them, `open_prepared` reads them.

Only the two requested frames of a clip are read:

from data.prepare import is_prepared, open_prepared
clips = open_prepared("DIR", "train")
earlier, later = clips[0].pair(0.2, 0.7)  # [H, W, 3] uint8
"""

from data.prepare.reader import PreparedClip, is_prepared, open_prepared

__all__ = ["PreparedClip", "is_prepared", "open_prepared"]
