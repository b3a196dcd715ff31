"""The motion of a puppet: smooth curves of its joints over time, the same for every identity."""

import dataclasses
import math
from collections.abc import Iterator

from data.puppets.randomness import Dice

FRAMES_PER_SECOND = 25

KINDS = ("wave", "dance", "star_jump", "march", "slow_arcs", "boogie")
_PACE = {"slow_arcs": 0.6, "star_jump": 0.8}
_STROLL = (0.05, 0.13)  # range of a figure's reach to either side


@dataclasses.dataclass(frozen=True)
class Pose:
    """The joints at one moment. Lengths are in short sides of the picture, angles in radians.

    Pairs are (left, right) in the picture. Arm angles count from straight down, positive outward.
    An elbow's angle is added to its arm's.
    """

    place: float  # where the figure stands, to the right of the middle
    sway: float  # shift of the hips to the right
    dip: float  # shift of the hips down
    jump: float  # shift of the whole figure up
    lean: float  # angle of the trunk, positive to the right
    tilt: float  # angle of the head against the trunk
    turn: float  # turn of the face, -1 to 1
    arms: tuple[float, float]
    elbows: tuple[float, float]
    step_out: tuple[float, float]  # shift of the feet outward
    step_up: tuple[float, float]  # shift of the feet up
    trail: float  # how far loose cloth and hair swing, positive to the right
    mouth: float  # 0 closed, 1 open
    blink: bool
    camera: tuple[float, float, float, float]  # background: right, down, zoom, turn


@dataclasses.dataclass(frozen=True)
class Curve:
    """middle + amplitude sin(2 pi f t + phase), plus a share of the second harmonic."""

    middle: float = 0.0
    amplitude: float = 0.0
    frequency: float = 0.5
    phase: float = 0.0
    second: float = 0.0

    def __call__(self, time: float) -> float:
        """The value after `time` seconds."""
        angle = 2 * math.pi * self.frequency * time + self.phase
        return self.middle + self.amplitude * (
            math.sin(angle) + self.second * math.sin(2 * angle + 1.0)
        )


class Motion:
    """One endless movement, chosen by its number.

    Args:
      number: any whole number from 0 up. Its movement never changes.
    """

    def __init__(self, number: int) -> None:
        dice = Dice(2, number)
        self.kind = dice.pick(KINDS)
        self._beat = dice.uniform(0.55, 0.85) * _PACE.get(self.kind, 1.0)
        self._start = dice.uniform(0, 8)
        self._mirrored = dice.chance(0.5)
        self._curves = self._choose(dice)
        self._hop = dice.uniform(0.03, 0.06) if self.kind == "star_jump" else 0.0
        self._camera = self._choose_camera(dice)
        self._stroll = Curve(
            0, dice.uniform(*_STROLL), dice.uniform(0.25, 0.4), dice.uniform(0, 6.28)
        )

    def __call__(self, time: float) -> Pose:
        """The pose `time` seconds after the clip's start."""
        time = time + self._start
        value = {name: curve(time) for name, curve in self._curves.items()}
        # Cloth and hair lag behind the body: they follow the trunk of a moment ago.
        late = time - 0.16
        drift = self._curves["sway"](time) - self._curves["sway"](late)
        drift += self._stroll(time) - self._stroll(late)
        swing = self._curves["lean"](time) - self._curves["lean"](late)
        beat = 2 * math.pi * self._beat * time
        pose = Pose(
            place=self._stroll(time),
            sway=value["sway"],
            dip=max(0.0, value["dip"]),
            jump=self._hop * max(0.0, math.sin(2 * beat)),
            lean=value["lean"],
            tilt=value["tilt"],
            turn=math.tanh(value["turn"]),
            arms=(value["arm_left"], value["arm_right"]),
            elbows=(value["elbow_left"], value["elbow_right"]),
            step_out=(max(0.0, value["out_left"]), max(0.0, value["out_right"])),
            step_up=(max(0.0, value["up_left"]), max(0.0, value["up_right"])),
            trail=-(1.6 * drift + 0.25 * swing),
            mouth=max(0.0, value["mouth"]),
            blink=(time * 0.37) % 1.0 < 0.04,
            camera=tuple(curve(time) for curve in self._camera),  # type: ignore[arg-type]
        )
        return _mirror(pose) if self._mirrored else pose

    def _choose(self, dice: Dice) -> dict[str, Curve]:
        quiet = {name: Curve() for name in _NAMES}
        return quiet | _common(dice, self._beat) | _MAKERS[self.kind](dice, self._beat)

    def _choose_camera(self, dice: Dice) -> tuple[Curve, ...]:
        """Chooses the camera's curves: a slow drift in half of the clips, none in the others."""
        strength = dice.uniform(0.5, 1.0) if dice.chance(0.5) else 0.0
        amplitudes = (0.07, 0.02, 0.04, 0.035)
        return tuple(
            Curve(0, strength * size, dice.uniform(0.08, 0.2), dice.uniform(0, 6.28))
            for size in amplitudes
        )


def clip_poses(motion: int, num_frames: int) -> Iterator[Pose]:
    """The poses of a clip's frames.

    Args:
      motion: the motion's number.
      num_frames: length of the clip, at `FRAMES_PER_SECOND`.
    """
    move = Motion(motion)
    return (move(index / FRAMES_PER_SECOND) for index in range(num_frames))


_NAMES = (
    *("sway", "dip", "lean", "tilt", "turn", "mouth"),
    *("arm_left", "arm_right", "elbow_left", "elbow_right"),
    *("out_left", "out_right", "up_left", "up_right"),
)


def _common(dice: Dice, beat: float) -> dict[str, Curve]:
    """Breathing, looking around, hanging arms: the curves that a movement may replace."""
    phase = dice.uniform(0, 6.28)
    return {
        "sway": Curve(0, dice.uniform(0.008, 0.02), beat, phase),
        "dip": Curve(0.012, 0.008, 2 * beat, phase),
        "lean": Curve(0, dice.uniform(0.02, 0.06), beat, phase + 0.4),
        "tilt": Curve(0, dice.uniform(0.05, 0.14), beat, phase + 2.0),
        "turn": Curve(0, dice.uniform(0.5, 1.2), 0.5 * beat, dice.uniform(0, 6.28)),
        "mouth": Curve(0.25, 0.6, dice.uniform(0.8, 1.4), dice.uniform(0, 6.28), 0.4),
        "arm_left": Curve(0.30, 0.08, beat, phase),
        "arm_right": Curve(0.30, 0.08, beat, phase + 3.1),
        "elbow_left": Curve(-0.15, 0.1, beat, phase + 0.5),
        "elbow_right": Curve(-0.15, 0.1, beat, phase + 3.6),
        "out_left": Curve(0.035),
        "out_right": Curve(0.035),
    }


def _wave(dice: Dice, beat: float) -> dict[str, Curve]:
    """One arm waves, the other is on the hip or hangs."""
    on_hip = dice.chance(0.5)
    return {
        "arm_left": Curve(dice.uniform(1.9, 2.3), 0.22, beat, 0.0),
        "elbow_left": Curve(0.55, dice.uniform(0.5, 0.7), 2 * beat, 0.4),
        "arm_right": Curve(0.85 if on_hip else 0.3, 0.06, beat, 1.0),
        "elbow_right": Curve(-1.75 if on_hip else -0.15, 0.08, beat, 1.5),
    }


def _dance(dice: Dice, beat: float) -> dict[str, Curve]:
    """Hips move from side to side, arms swing up in turn, feet tap."""
    reach = dice.uniform(0.7, 1.0)
    return {
        "sway": Curve(0, dice.uniform(0.03, 0.05), beat, 0.0),
        "dip": Curve(0.02, 0.015, 2 * beat, 1.2),
        "lean": Curve(0, dice.uniform(0.08, 0.16), beat, 3.3),
        "arm_left": Curve(1.35, reach, beat, 0.0, 0.15),
        "arm_right": Curve(1.35, reach, beat, 3.14, 0.15),
        "elbow_left": Curve(0.4, 0.7, beat, 0.9),
        "elbow_right": Curve(0.4, 0.7, beat, 4.04),
        "out_left": Curve(0.06),
        "out_right": Curve(0.06),
        "up_left": Curve(-0.02, 0.05, beat, 1.57),
        "up_right": Curve(-0.02, 0.05, beat, 4.71),
    }


def _star_jump(dice: Dice, beat: float) -> dict[str, Curve]:
    """Arms and legs go out and in together, with a hop."""
    reach = dice.uniform(0.95, 1.15)
    arms = Curve(1.45, reach, beat, 0.0)
    elbows = Curve(0.15, 0.25, beat, 0.8)
    feet = Curve(0.07, 0.06, beat, 0.0)
    return {
        "dip": Curve(0.02, 0.02, 2 * beat, 3.6),
        "arm_left": arms,
        "arm_right": arms,
        "elbow_left": elbows,
        "elbow_right": elbows,
        "out_left": feet,
        "out_right": feet,
    }


def _march(dice: Dice, beat: float) -> dict[str, Curve]:
    """Knees go up in turn, and bent arms swing against them."""
    lift, swing = dice.uniform(0.08, 0.12), dice.uniform(0.25, 0.4)
    return {
        "sway": Curve(0, 0.02, beat, 0.0),
        "dip": Curve(0.015, 0.012, 2 * beat, 0.6),
        "arm_left": Curve(0.55, swing, beat, 0.0),
        "arm_right": Curve(0.55, swing, beat, 3.14),
        "elbow_left": Curve(0.9, 0.9, beat, 0.3),
        "elbow_right": Curve(0.9, 0.9, beat, 3.44),
        "up_left": Curve(0.0, lift, beat, 0.0),
        "up_right": Curve(0.0, lift, beat, 3.14),
        "out_left": Curve(0.03),
        "out_right": Curve(0.03),
    }


def _slow_arcs(dice: Dice, beat: float) -> dict[str, Curve]:
    """In a wide stance, weight goes from leg to leg, and arms draw large arcs."""
    phase = dice.uniform(0.6, 1.8)
    return {
        "sway": Curve(0, dice.uniform(0.05, 0.07), beat, 0.0),
        "dip": Curve(0.045, 0.02, 2 * beat, 0.5),
        "lean": Curve(0, 0.06, beat, 0.5),
        "arm_left": Curve(1.3, 0.75, beat, 0.0),
        "arm_right": Curve(1.3, 0.75, beat, phase + 1.5),
        "elbow_left": Curve(0.1, 0.8, beat, phase),
        "elbow_right": Curve(0.1, 0.8, beat, phase + 2.2),
        "out_left": Curve(0.10),
        "out_right": Curve(0.10),
    }


def _boogie(dice: Dice, beat: float) -> dict[str, Curve]:
    """Every joint follows its own curve."""
    curves = {
        "sway": Curve(0, dice.uniform(0.02, 0.045), beat, dice.uniform(0, 6.28)),
        "dip": Curve(0.03, 0.025, 2 * beat, dice.uniform(0, 6.28)),
        "lean": Curve(0, dice.uniform(0.05, 0.14), beat, dice.uniform(0, 6.28)),
        "out_left": Curve(0.05, 0.02, beat, dice.uniform(0, 6.28)),
        "out_right": Curve(0.05, 0.02, beat, dice.uniform(0, 6.28)),
    }
    for side in ("left", "right"):
        wide = dice.uniform(0.5, 0.9)
        curves[f"arm_{side}"] = Curve(
            dice.uniform(0.9, 1.8), wide, beat, dice.uniform(0, 6.28), 0.2
        )
        curves[f"elbow_{side}"] = Curve(
            dice.uniform(-0.3, 0.7), dice.uniform(0.4, 0.8), beat, dice.uniform(0, 6.28)
        )
    return curves


_MAKERS = {
    "wave": _wave,
    "dance": _dance,
    "star_jump": _star_jump,
    "march": _march,
    "slow_arcs": _slow_arcs,
    "boogie": _boogie,
}


def _mirror(pose: Pose) -> Pose:
    """The pose with left and right exchanged; the camera stays."""
    return dataclasses.replace(
        pose,
        place=-pose.place,
        sway=-pose.sway,
        lean=-pose.lean,
        tilt=-pose.tilt,
        turn=-pose.turn,
        arms=pose.arms[::-1],
        elbows=pose.elbows[::-1],
        step_out=pose.step_out[::-1],
        step_up=pose.step_up[::-1],
        trail=-pose.trail,
    )
