"""Small ICC profiles, made from their published numbers (ICC.1:2001-04)."""

import struct
from collections.abc import Sequence

import numpy as np

# Colorants adapted to D50, X Y Z each: red, green, blue.
SRGB = ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410))
ADOBE_RGB = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))
DISPLAY_P3 = (
    (0.51512, 0.24120, -0.00105),
    (0.29198, 0.69225, 0.04189),
    (0.15710, 0.06657, 0.78407),
)
RED_AND_BLUE_EXCHANGED = SRGB[::-1]
SRGB_CURVE = tuple(
    value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
    for value in (index / 1023 for index in range(1024))
)


def rgb_profile(colorants: Sequence[Sequence[float]], curve: Sequence[float] | float) -> bytes:
    """A profile of three colorants and one curve: samples in [0, 1], or a gamma."""
    xyz = [
        b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(value * 65536) for value in colorant))
        for colorant in colorants
    ]
    tags = dict(zip((b"rXYZ", b"gXYZ", b"bXYZ"), xyz, strict=True))
    return _profile(
        b"mntr", b"RGB ", b"XYZ ", tags | dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), _curve(curve))
    )


def gray_profile(curve: Sequence[float] | float) -> bytes:
    """A profile of a gray picture."""
    return _profile(b"mntr", b"GRAY", b"XYZ ", {b"kTRC": _curve(curve)})


def cmyk_profile() -> bytes:
    """A profile in which cyan, magenta, yellow and black only darken: L is 100 (1 - mean ink)."""
    corners = np.stack(np.meshgrid(*[[0, 1]] * 4, indexing="ij"), axis=-1).reshape(-1, 4)
    lightness = np.rint(255 * (1 - corners.mean(axis=1))).astype(np.uint8)
    lab = np.stack([lightness, *[np.full(16, 128, np.uint8)] * 2], axis=1)
    identity = bytes(range(256))
    table = b"mft1\0\0\0\0" + bytes((4, 3, 2, 0))
    table += struct.pack(">9i", *(65536 if index % 4 == 0 else 0 for index in range(9)))
    table += 4 * identity + lab.tobytes() + 3 * identity
    return _profile(b"prtr", b"CMYK", b"Lab ", {b"A2B0": table})


def _curve(curve: Sequence[float] | float) -> bytes:
    if isinstance(curve, float):
        return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(curve * 256))
    samples = [round(value * 65535) for value in curve]
    return b"curv\0\0\0\0" + struct.pack(f">I{len(samples)}H", len(samples), *samples)


def _profile(kind: bytes, space: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", 0xF6D6, 0x10000, 0xD32D)
    text = b"text\0\0\0\0public domain\0"
    name = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"test\0" + bytes(4 + 4 + 2 + 1 + 67)
    tags = {b"desc": name, b"cprt": text, b"wtpt": white, **tags}
    table, data, start = b"", b"", 128 + 4 + 12 * len(tags)
    for signature, content in tags.items():
        table += signature + struct.pack(">II", start + len(data), len(content))
        data += content + bytes(-len(content) % 4)
    header = struct.pack(
        ">I4sI4s4s4s", start + len(data), b"test", 0x02400000, kind, space, connection
    )
    header += struct.pack(">6H4s", 2026, 1, 1, 0, 0, 0, b"acsp") + bytes(28)
    header += struct.pack(">3i", 0xF6D6, 0x10000, 0xD32D)
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + data
