"""The looks of a puppet: build, face, hair and clothes, chosen by the identity's number."""

from dataclasses import dataclass

from data.puppets.canvas import Color, mix
from data.puppets.randomness import Dice

SKINS: tuple[Color, ...] = (
    (255, 224, 196),
    (246, 205, 168),
    (230, 180, 138),
    (198, 142, 100),
    (160, 106, 72),
    (118, 76, 52),
)
HAIRS: tuple[Color, ...] = (
    (48, 38, 44),
    (92, 58, 40),
    (150, 92, 48),
    (226, 178, 88),
    (196, 84, 48),
    (176, 176, 188),
    (92, 74, 148),
    (44, 112, 120),
)
# Colors that match: shirt, trousers or skirt, accent (pattern, hat, scarf), shoes.
OUTFITS: tuple[tuple[Color, Color, Color, Color], ...] = (
    ((239, 96, 80), (52, 74, 110), (255, 232, 190), (60, 44, 52)),
    ((78, 158, 150), (86, 62, 86), (255, 214, 102), (70, 48, 44)),
    ((255, 196, 84), (62, 96, 148), (226, 82, 76), (240, 240, 236)),
    ((104, 126, 204), (70, 62, 90), (255, 244, 224), (214, 84, 72)),
    ((240, 232, 218), (176, 86, 74), (66, 120, 146), (82, 58, 50)),
    ((146, 192, 104), (108, 80, 62), (255, 250, 230), (58, 60, 74)),
    ((226, 124, 160), (74, 82, 132), (255, 226, 140), (244, 238, 236)),
    ((92, 84, 112), (204, 132, 74), (146, 214, 202), (52, 46, 58)),
    ((246, 148, 92), (64, 110, 108), (255, 240, 214), (84, 52, 46)),
    ((120, 196, 226), (220, 104, 96), (255, 255, 246), (72, 64, 92)),
)
PATTERNS = ("plain", "stripes", "bands", "dots", "diamonds", "buttons")
HAIR_STYLES = ("short", "long", "bun", "curls", "fringe", "pigtails")
HATS = ("none", "none", "beanie", "cap", "crown")
BOTTOMS = ("trousers", "trousers", "shorts", "skirt", "dress")
EXTRAS = ("none", "scarf", "glasses", "none", "cape")


@dataclass(frozen=True)
class Appearance:
    """The looks of one identity. Lengths are in units of the picture's short side."""

    skin: Color
    hair: Color
    shirt: Color
    trousers: Color
    accent: Color
    shoes: Color
    pattern: str
    hair_style: str
    hat: str
    bottom: str
    extra: str
    long_sleeves: bool
    head: float  # radius
    face_width: float  # width of the face, in heads
    trunk: float  # hips to shoulders
    shoulders: float  # half width
    hips: float  # half width
    arm: float  # upper arm and forearm, each
    leg: float  # thigh and shin, each
    thickness: float  # 1 is ordinary
    eye: float  # radius, in heads
    freckles: bool


def appearance(identity: int) -> Appearance:
    """The looks of one identity.

    Args:
      identity: any whole number from 0 up. Its looks never change.

    Returns:
      Its proportions, colors and clothes.
    """
    dice = Dice(1, identity)
    shirt, trousers, accent, shoes = dice.pick(OUTFITS)
    tint = mix((255, 170, 120), (120, 170, 255), dice.uniform(0, 1))
    thickness = dice.uniform(0.88, 1.22)
    return Appearance(
        skin=dice.pick(SKINS),
        hair=dice.pick(HAIRS),
        shirt=mix(shirt, tint, dice.uniform(0, 0.18)),
        trousers=mix(trousers, tint, dice.uniform(0, 0.15)),
        accent=accent,
        shoes=shoes,
        pattern=dice.pick(PATTERNS),
        hair_style=dice.pick(HAIR_STYLES),
        hat=dice.pick(HATS),
        bottom=dice.pick(BOTTOMS),
        extra=dice.pick(EXTRAS),
        long_sleeves=dice.chance(0.6),
        head=dice.uniform(0.105, 0.13),
        face_width=dice.uniform(0.88, 1.04),
        trunk=dice.uniform(0.185, 0.22),
        shoulders=dice.uniform(0.068, 0.088) * thickness**0.5,
        hips=dice.uniform(0.056, 0.07) * thickness,
        arm=dice.uniform(0.112, 0.13),
        leg=dice.uniform(0.125, 0.15),
        thickness=thickness,
        eye=dice.uniform(0.13, 0.18),
        freckles=dice.chance(0.2),
    )
