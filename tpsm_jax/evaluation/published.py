"""Numbers from papers, shown next to those measured here."""

from typing import NamedTuple


class Published(NamedTuple):
    """A row of a paper's table.

    Attributes:
      method: the paper's name for it.
      source: the paper and its table.
      metrics: name -> number as printed. AKD, MKR and AED compare only within one detector.
    """

    method: str
    source: str
    metrics: dict[str, str]


def _rows(source: str, names: str, table: str) -> list[Published]:
    """The rows of a table of text: a method and its numbers, separated by blanks."""
    rows = [line.split() for line in table.strip().splitlines()]
    return [
        Published(method, source, dict(zip(names.split(), numbers, strict=True)))
        for method, *numbers in rows
    ]


_TPSM = "Zhao and Zhang, CVPR 2022, Table 1"
# Its authors trained and measured FOMM and MRAA again.
_MTIA = "Tao et al., ECCV 2022, poster"

# The TaiChiHD rows are the paper's own; the rest of its table could not be checked. All other rows
# are from a later paper, whose poster is in GitHub JialeTao/MTIA.
PUBLISHED = {
    "taichi": [
        *_rows(
            _TPSM,
            "l1 akd mkr aed",
            """
            TPSM  0.045  4.57   0.018  0.151
            MRAA  0.048  5.41   0.025  0.149
            """,
        ),
        *_rows(
            _MTIA,
            "l1 akd mkr aed",
            """
            FOMM  0.057  6.649  0.036  0.172
            MRAA  0.048  5.246  0.024  0.150
            MTIA  0.045  4.670  0.021  0.148
            """,
        ),
    ],
    "ted": _rows(
        _MTIA,
        "l1 akd mkr aed",
        """
        FOMM  0.029  4.382  0.008  0.127
        MRAA  0.027  3.955  0.007  0.118
        MTIA  0.026  3.456  0.007  0.113
        """,
    ),
    "vox": _rows(
        _MTIA,
        "l1 akd aed",
        """
        FOMM  0.041  1.29  0.133
        MRAA  0.040  1.28  0.133
        MTIA  0.038  1.18  0.116
        """,
    ),
    "mgif": _rows(
        _MTIA,
        "l1",
        """
        FOMM  0.0224
        MRAA  0.0274
        MTIA  0.0200
        """,
    ),
}
