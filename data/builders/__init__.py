"""The data sets as builders of TensorFlow Datasets, made from folders that are there already.

`python -m data.prepare` makes the same examples, in parallel, resumably, and with the index that
training reads by. The builders are for those who work with TensorFlow Datasets.

from data.builders import ClipsConfig, VoxCeleb
builder = VoxCeleb(config=ClipsConfig(input="DIR"), data_dir="OUT")
builder.download_and_prepare()  # nothing is downloaded
"""

from data.builders.builders import (
    Clips,
    ClipsBuilder,
    ClipsConfig,
    MGif,
    Puppets,
    TaiChiHD,
    TEDTalks,
    VoxCeleb,
)

__all__ = [
    "Clips",
    "ClipsBuilder",
    "ClipsConfig",
    "MGif",
    "Puppets",
    "TEDTalks",
    "TaiChiHD",
    "VoxCeleb",
]
