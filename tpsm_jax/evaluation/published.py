"""Numbers that papers print, to stand beside those measured here."""

from typing import NamedTuple


class Published(NamedTuple):
    """A row of a paper's table.

    Attributes:
      method: as the paper calls it.
      source: where it is printed.
      metrics: name -> number; AKD, MKR and AED compare only within the paper's own detector.
    """

    method: str
    source: str
    metrics: dict[str, float]


_TABLE_1 = "Zhao and Zhang, CVPR 2022, Table 1"

# Of the four data sets, those whose numbers were at hand to be checked.
PUBLISHED = {
    "taichi": [
        Published("TPSM", _TABLE_1, {"l1": 0.045, "akd": 4.57, "mkr": 0.018, "aed": 0.151}),
        Published("MRAA", _TABLE_1, {"l1": 0.048, "akd": 5.41, "mkr": 0.025, "aed": 0.149}),
    ]
}
