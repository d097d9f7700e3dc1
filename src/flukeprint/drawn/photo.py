"""Photos of drawn whales.

Everything follows from integer seeds: the same whale and shot give the same photo, and no state
is kept but a bounded cache of flat flukes. Whales and their marks are in
:mod:`flukeprint.drawn.whale`, sea and light in :mod:`flukeprint.drawn.scene`.
"""

import math
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from flukeprint.drawn.scene import add_splash, develop, draw_sea, light
from flukeprint.drawn.whale import (
    TEXEL,
    TOP_V,
    DrawnWhale,
    Floats,
    check_number,
    edges,
    flat_fluke,
    smooth_noise,
)
from flukeprint.records import Box

SMALLEST_SIDE = 32
_PHOTO_STREAM = 3

Doubles = NDArray[np.float64]
Reals = TypeVar("Reals", Doubles, Floats)
Size = tuple[int, int]  # rows, columns


@dataclass(frozen=True, slots=True)
class DrawnPhoto:
    """A photo of a drawn whale.

    ``pixels`` is (height, width, 3) uint8 RGB; a grey photo has three equal channels. ``box``
    bounds the part of the fluke above the water, in fractions of width and height, 0..1.
    """

    pixels: NDArray[np.uint8]
    box: Box


@dataclass(frozen=True, slots=True)
class _Pose:
    """How a flat fluke is held: lobes bent and foreshortened, then seen in perspective."""

    spans: tuple[float, float]  # left and right half span
    curl: float  # how far the tips are drawn in
    tall: float
    twists: tuple[float, float]  # growth of the height from the root to either tip
    lifts: tuple[float, float]
    bend: float
    view: Doubles  # 3 by 3, roll and perspective

    def place(self, u: Doubles, v: Doubles) -> tuple[Doubles, Doubles]:
        """Move points of the flat fluke to the plane of the picture, y downwards."""
        side = (u >= 0).astype(int)
        a = np.abs(u)
        p = np.sign(u) * np.take(self.spans, side) * (a - self.curl * a * a)
        q = v * self.tall * (1 + np.take(self.twists, side) * a)
        q = q + np.take(self.lifts, side) * a**self.bend
        return _project(self.view, p, q)

    def lift_off(self, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        """Undo :meth:`place`: from the plane of the picture to the flat fluke."""
        inverse: Floats = np.linalg.inv(self.view).astype(np.float32)
        p, q = _project(inverse, x, y)
        right = p >= 0
        b = np.abs(p) / _sided(right, self.spans)
        # The bend is only defined out to its turning point, which lies beyond the tips.
        a = (1 - np.sqrt(np.maximum(1 - 4 * self.curl * b, 0))) / (2 * self.curl)
        risen = _sided(right, self.lifts) * np.power(a, self.bend)
        v = (q - risen) / (self.tall * (1 + _sided(right, self.twists) * a))
        return np.where(right, a, -a).astype(np.float32), v.astype(np.float32)


def _sided(right: NDArray[np.bool_], pair: tuple[float, float]) -> Floats:
    return np.where(right, np.float32(pair[1]), np.float32(pair[0]))


def _project(view: Reals, p: Reals, q: Reals) -> tuple[Reals, Reals]:
    depth = view[2, 0] * p + view[2, 1] * q + view[2, 2]
    x = (view[0, 0] * p + view[0, 1] * q + view[0, 2]) / depth
    y = (view[1, 0] * p + view[1, 1] * q + view[1, 2]) / depth
    return x, y


def photograph(
    whale: DrawnWhale, shot: int, *, width_px: int = 480, height_px: int = 270
) -> DrawnPhoto:
    """Take photo number ``shot`` of a whale; the same arguments give the same photo.

    Pose, light, sea and camera depend on the whale's seed and the shot. The whole fluke is in
    the picture, as far as the sea does not cover it.

    Raises:
        ValueError: ``shot`` is not in 0..2**32-1 or a side is under 32 pixels.
    """
    check_number("shot", shot)
    if min(width_px, height_px) < SMALLEST_SIDE:
        raise ValueError(f"photos need sides of {SMALLEST_SIDE} pixels, not {width_px}x{height_px}")
    rng = np.random.default_rng([_PHOTO_STREAM, whale.seed, shot])
    size = (height_px, width_px)
    skin, cover, water = _stage(whale, rng, size)
    box = _bounds(cover)
    sea, tint = draw_sea(rng, size, water)
    lit = light(rng, skin, tint)
    if rng.random() < 0.2:
        # Against the light the sea shines and the skin lies in shadow, with little contrast.
        sea = np.float32(0.3) + sea * np.float32(0.7)
        lit = np.float32(rng.uniform(0.06, 0.12)) + lit * np.float32(rng.uniform(0.35, 0.55))
    scene = sea + (lit - sea) * cover[..., None]
    add_splash(rng, scene, box, water)
    return DrawnPhoto(develop(rng, scene), box)


def _stage(whale: DrawnWhale, rng: np.random.Generator, size: Size) -> tuple[Floats, Floats, float]:
    """Return the skin's brightness and its cover of each pixel, and the row of the waterline."""
    rows, columns = size
    pose = _draw_pose(rng)
    u = np.linspace(-1.0, 1.0, 201)
    trail, lead = edges(whale, u)
    x, y = pose.place(np.concatenate([u, u]), np.concatenate([trail, lead]).astype(np.float64))
    root = -(whale.left.chord + whale.right.chord) / 2
    _, stock_y = pose.place(np.zeros(2), np.array([root, -0.95]))
    dip = 0.9 * float(rng.random()) ** 1.5 - 0.3
    water = float(stock_y[0] + dip * (stock_y[1] - stock_y[0]))
    top, bottom = float(y.min()), max(float(np.minimum(y, water).max()), water)
    wide, high = float(x.max() - x.min()), bottom - top
    fill = 0.45 + 0.53 * float(rng.random()) ** 0.6
    scale = min(fill * columns / wide, 0.95 * rows / high)
    left = float(rng.uniform(0.02, 0.98)) * (columns - scale * wide)
    above = float(rng.beta(2.5, 2.5)) * (rows - scale * high)
    picture_x = (np.arange(columns, dtype=np.float32) + 0.5 - left) / scale + float(x.min())
    picture_y = (np.arange(rows, dtype=np.float32) + 0.5 - above) / scale + top
    line = (water - top) * scale + above
    flat_u, flat_v = pose.lift_off(
        np.broadcast_to(picture_x, size).astype(np.float32),
        np.broadcast_to(picture_y[:, None], size).astype(np.float32),
    )
    halvings = int(np.clip(math.log2(max(2 / TEXEL / (scale * wide), 1)) + 0.4, 0, 3))
    skin, cover = _sample(flat_fluke(whale, halvings), flat_u, flat_v, halvings)
    waves = smooth_noise(rng, (1, max(4, columns // 24)), (1, columns)) * np.float32(rows * 0.008)
    dry = np.clip(line + waves - np.arange(rows, dtype=np.float32)[:, None], 0, 1)
    return skin, cover * dry, line


def _draw_pose(rng: np.random.Generator) -> _Pose:
    roll = math.radians(float(np.clip(rng.normal(0, 5.5), -12, 12)))
    cos, sin = math.cos(roll), math.sin(roll)
    # y is turned downwards here; the last row is the perspective, left-right and up-down.
    turn = np.array([[cos, -sin, 0.0], [-sin, -cos, 0.0], [0.0, 0.0, 1.0]])
    far = np.eye(3)
    far[2, :2] = rng.uniform(-0.12, 0.12), rng.uniform(-0.12, 0.12)
    yaw = float(rng.normal(0, 0.09))
    lift = float(rng.choice([0.0, 0.22, 0.42])) + float(rng.uniform(-0.05, 0.18))
    return _Pose(
        spans=(1 - max(min(yaw, 0.22), 0), 1 + min(max(yaw, -0.22), 0)),
        curl=float(rng.uniform(0.005, 0.14)),
        tall=float(rng.uniform(0.55, 1.0)),
        twists=(float(rng.uniform(-0.1, 0.25)), float(rng.uniform(-0.1, 0.25))),
        lifts=(lift + float(rng.normal(0, 0.05)), lift + float(rng.normal(0, 0.05))),
        bend=float(rng.uniform(1.15, 2.2)),
        view=far @ turn,
    )


def _sample(fluke: Floats, u: Floats, v: Floats, halvings: int) -> tuple[Floats, Floats]:
    """Read both planes of a flat fluke at points, bilinearly; cover is 0 outside the picture."""
    _, rows, columns = fluke.shape
    texel = TEXEL * 2**halvings
    x = np.clip((u + 1.03) / texel - 0.5, 0, columns - 1.001)
    y = np.clip((TOP_V - v) / texel - 0.5, 0, rows - 1.001)
    column, row = x.astype(np.int32), y.astype(np.int32)
    fx, fy = x - column, y - row
    start = row * columns + column
    planes = []
    for plane in fluke:
        flat = plane.ravel()
        upper = flat[start] * (1 - fx) + flat[start + 1] * fx
        lower = flat[start + columns] * (1 - fx) + flat[start + columns + 1] * fx
        planes.append(upper + (lower - upper) * fy)
    return planes[0], planes[1]


def _bounds(cover: Floats) -> Box:
    rows, columns = cover.shape
    solid = cover > 0.5
    xs, ys = np.flatnonzero(solid.any(axis=0)), np.flatnonzero(solid.any(axis=1))
    return Box(
        float(xs[0]) / columns,
        float(ys[0]) / rows,
        float(xs[-1] + 1) / columns,
        float(ys[-1] + 1) / rows,
    )
