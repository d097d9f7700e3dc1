"""Photos of drawn whales, and whole made-up catalogues of them.

Everything follows from integer seeds: the same whale and shot give the same photo, and no state
is kept but a bounded cache of flat flukes. Whales and their marks are in
:mod:`flukeprint.drawn_whale`.
"""

import csv
import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from flukeprint.drawn_whale import (
    TEXEL,
    TOP_V,
    DrawnWhale,
    Floats,
    check_number,
    draw_whale,
    edges,
    flat_fluke,
    smooth_noise,
)
from flukeprint.errors import FlukeprintError
from flukeprint.files import make_folder, write_bytes, write_text
from flukeprint.progress import Step
from flukeprint.records import Box

__all__ = [
    "DrawnCatalogue",
    "DrawnPhoto",
    "DrawnWhale",
    "draw_whale",
    "photograph",
    "write_catalogue",
]

NEW_WHALE = "new_whale"
SMALLEST_SIDE = 32
_PHOTO_STREAM, _CATALOGUE_STREAM = 3, 4
_CATALOGUE_SEEDS = (
    2**31
)  # catalogues' whales have seeds from here on, apart from small hand-set ones

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
class DrawnCatalogue:
    """Where a written catalogue lies: ``answers`` maps each query to its whale or "new_whale"."""

    gallery: Path
    queries: tuple[Path, ...]
    answers: dict[Path, str]


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
    sea, tint = _draw_sea(rng, size, water)
    lit = _light(rng, skin, tint)
    if rng.random() < 0.2:
        # Against the light the sea shines and the skin lies in shadow, with little contrast.
        sea = np.float32(0.3) + sea * np.float32(0.7)
        lit = np.float32(rng.uniform(0.06, 0.12)) + lit * np.float32(rng.uniform(0.35, 0.55))
    scene = sea + (lit - sea) * cover[..., None]
    _add_splash(rng, scene, box, water)
    return DrawnPhoto(_develop(rng, scene), box)


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


def _draw_sea(rng: np.random.Generator, size: Size, water: float) -> tuple[Floats, Floats]:
    """Return a sea, float32 (rows, columns, 3) of linear-ish light, and the colour of its light."""
    rows = size[0]
    hue = np.array([[0.05, 0.2, 0.46], [0.08, 0.3, 0.36], [0.24, 0.29, 0.34], [0.1, 0.22, 0.3]])
    deep = hue[int(rng.integers(4))] * rng.uniform(0.6, 1.7) + rng.normal(0, 0.02, 3)
    sky = np.array([0.72, 0.8, 0.88]) * rng.uniform(0.75, 1.15) + rng.normal(0, 0.04, 3)
    height = _waves(rng, size)
    chop = float(rng.uniform(0.04, 0.22))
    glare = float(rng.choice([0.0, 0.15, 0.45])) + np.linspace(0.12, -0.05, rows)[:, None]
    mix = np.clip(0.15 + glare + chop * height, 0, 1).astype(np.float32)
    foam = np.clip(height * 0.5 - rng.uniform(0.9, 1.9), 0, 0.6)
    mix = np.clip(mix + foam, 0, 1.2).astype(np.float32)
    tint = sky.astype(np.float32)
    sea = deep.astype(np.float32) + (tint - deep.astype(np.float32)) * mix[..., None]
    if rng.random() < 0.3:
        _add_sky(rng, sea, tint, min(float(rng.uniform(0.05, 0.4)) * rows, 0.8 * water))
    return sea, tint


def _waves(rng: np.random.Generator, size: Size) -> Floats:
    """Return the sea's surface, (rows, columns), about zero with spread about 1."""
    rows, columns = size
    slant = np.linspace(0.0, columns * abs(rng.normal(0, 0.1)), columns)
    slant = slant[::-1] if rng.random() < 0.5 else slant
    tall = rows + int(slant.max()) + 1
    rough, stretch = float(rng.uniform(0.65, 0.95)), float(rng.uniform(2.0, 4.5))
    height = np.zeros((tall, columns), dtype=np.float32)
    for octave, cells in enumerate((8, 20, 48, 110)):
        across = max(3, round(cells * columns / rows / stretch))
        noise = smooth_noise(rng, (cells, across), (tall, columns))
        # Small waves have crests: a fold in the noise makes lines where there would be clouds.
        height += (noise if octave == 0 else 0.75 - 1.6 * np.abs(noise)) * np.float32(rough**octave)
    # Waves look lower the farther they are: rows are read from a plane lying down.
    depth = np.linspace(0.0, 1.0, rows) ** rng.uniform(0.55, 0.95) * (rows - 1)
    lying: Floats = height[(depth[:, None] + slant).astype(np.intp), np.arange(columns)]
    return lying * np.float32(0.7)


def _add_sky(rng: np.random.Generator, sea: Floats, sky: Floats, horizon: float) -> None:
    rows, columns, _ = sea.shape
    y = np.arange(rows, dtype=np.float32)[:, None]
    tilt = np.linspace(-1, 1, columns, dtype=np.float32) * np.float32(rng.normal(0, 0.015) * rows)
    clouds = smooth_noise(rng, (4, 5), (rows, columns)) * np.float32(0.04)
    over = np.clip(horizon + tilt - y, 0, 1)[..., None]
    sea += (sky * (1 + clouds[..., None]) - sea) * over
    if rng.random() < 0.5:
        hills = smooth_noise(rng, (1, 6), (1, columns))
        hills += np.float32(0.15) * smooth_noise(rng, (1, 40), (1, columns))
        reach = np.float32(rows * rng.uniform(0.02, 0.08)) * np.maximum(hills + 0.8, 0)
        land = np.clip(y - (horizon + tilt - reach), 0, 1)[..., None] * over
        sea += (sky * np.float32(rng.uniform(0.35, 0.8)) - sea) * land


def _light(rng: np.random.Generator, skin: Floats, tint: Floats) -> Floats:
    """Return the lit skin, (rows, columns, 3): a gradient and wet sheen."""
    rows, columns = skin.shape
    across = np.linspace(-1, 1, columns, dtype=np.float32) * np.float32(rng.normal(0, 0.16))
    down = np.linspace(1, -1, rows, dtype=np.float32)[:, None] * np.float32(rng.normal(0, 0.16))
    shade = np.clip(1 + across + down, 0.45, 1.5) * np.float32(rng.uniform(0.75, 1.1))
    sheen = smooth_noise(rng, (6, 9), skin.shape) + 0.6 * smooth_noise(rng, (24, 40), skin.shape)
    gloss = np.clip(sheen - 0.3, 0, 2) * np.float32(rng.uniform(0, 0.12))
    lit = skin * shade
    # Part of the light on the skin comes from sea and sky, so shadows take their colour.
    warm = np.array([1.0, 0.985, 0.96], dtype=np.float32) * rng.uniform(0.96, 1.02, 3)
    return (lit[..., None] * warm + gloss[..., None] * tint + 0.04 * tint).astype(np.float32)


def _add_splash(rng: np.random.Generator, scene: Floats, box: Box, water: float) -> None:
    """Whiten the scene in place along the waterline under the fluke."""
    rows, columns, _ = scene.shape
    strength = float(rng.choice([0.3, 0.7, 1.0, 1.4]))
    x = np.arange(columns, dtype=np.float32) / columns
    y = (np.arange(rows, dtype=np.float32)[:, None] - np.float32(water)) / rows
    middle = (box.x0 + box.x1) / 2 + float(rng.normal(0, 0.04))
    reach = (box.x1 - box.x0) * float(rng.uniform(0.12, 0.4))
    along = np.exp(-(((x - middle) / reach) ** 2))
    up, low = float(rng.uniform(0.01, 0.05)), float(rng.uniform(0.04, 0.14))
    near = np.exp(-((y / np.where(y < 0, up, low)) ** 2)) * along
    size = (rows, columns)
    noise = smooth_noise(rng, (rows // 20 + 2, columns // 40 + 2), size)
    noise += 0.8 * smooth_noise(rng, (rows // 7 + 2, columns // 12 + 2), size)
    noise += 0.5 * smooth_noise(rng, (rows // 3 + 2, columns // 4 + 2), size)
    foam = np.clip(near * (strength + 0.45 * noise) - 0.12, 0, 0.9)
    white = np.clip(0.8 + 0.1 * noise, 0, 1)[..., None]
    scene += (white - scene) * foam[..., None].astype(np.float32)


def _develop(rng: np.random.Generator, scene: Floats) -> NDArray[np.uint8]:
    """Expose, blur and add noise; return uint8 RGB."""
    rows, columns, _ = scene.shape
    if rng.random() < 0.4:
        weights = np.array([0.299, 0.587, 0.114], dtype=np.float32)
        scene = (scene @ weights)[..., None]
    haze = float(rng.choice([0.0, 0.0, 0.1, 0.25])) * float(rng.random())
    contrast = float(rng.uniform(0.8, 1.35))
    exposure = float(rng.normal(0.0, 0.06))
    scene = (scene - 0.45) * np.float32(contrast * (1 - haze)) + np.float32(
        0.45 + haze * 0.3 + exposure
    )
    levels = (np.clip(scene, 0, 1) * 255).astype(np.uint8)
    image = Image.fromarray(levels[..., 0] if levels.shape[2] == 1 else levels)
    blur = float(rng.uniform(0, 1)) ** 2 * 1.8 * columns / 480
    if blur > 0.25:
        image = image.filter(ImageFilter.GaussianBlur(blur))
    grain = np.float32(255 * rng.uniform(0.003, 0.03))
    blurred = np.asarray(image, dtype=np.float32).reshape(rows, columns, -1)
    noisy = blurred + rng.standard_normal((rows, columns, 1), dtype=np.float32) * grain
    pixels = np.clip(noisy + 0.5, 0, 255).astype(np.uint8)
    return np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels


def write_catalogue(
    folder: Path,
    *,
    whales: int,
    photos: int,
    strangers: int,
    queries: int,
    seed: int,
    progress: Step | None = None,
) -> DrawnCatalogue:
    """Write a made-up catalogue of JPEG photos with queries and their answers.

    ``folder/gallery/<individual>/`` gets ``photos`` photos of each of ``whales`` whales;
    ``folder/queries/`` gets ``queries`` further photos of each and one of each of ``strangers``
    other whales; ``folder/answers.csv`` (path,identity) names the whale of each query, paths
    relative to ``folder`` with "/", "new_whale" for strangers. Query names are random and
    listed in their own order, so they tell nothing. ``seed`` is in 0..2**32-1; ``progress`` is
    told of each photo.

    Raises:
        ValueError: a count is negative or the seed out of range.
        FlukeprintError: ``folder`` already has a gallery, queries or answers (two catalogues
            mixed would spoil both), or cannot be written to.
    """
    check_number("seed", seed)
    if min(whales, photos, strangers, queries) < 0:
        raise ValueError("the counts of a catalogue must not be negative")
    for name in ("gallery", "queries", "answers.csv"):
        if (folder / name).exists():
            raise FlukeprintError(f"{folder / name}: already there; choose an empty folder")
    rng = np.random.default_rng([_CATALOGUE_STREAM, seed])
    seeds = _CATALOGUE_SEEDS + rng.choice(_CATALOGUE_SEEDS, whales + strangers, replace=False)
    count = whales * (photos + queries) + strangers
    names = iter(f"{number:08x}.jpg" for number in rng.choice(2**32, count, replace=False).tolist())
    gallery, asked = folder / "gallery", folder / "queries"
    make_folder(asked)
    make_folder(gallery)
    pending: list[tuple[str, int, int, str]] = []
    for place, whale_seed in enumerate(seeds.tolist()):
        known = place < whales
        identity = f"drawn_{place + 1:04d}" if known else NEW_WHALE
        if known:
            make_folder(gallery / identity)
            for shot in range(photos):
                _write_photo(gallery / identity / next(names), whale_seed, shot, progress)
        for shot in range(photos, photos + queries) if known else (0,):
            pending.append((next(names), whale_seed, shot, identity))
    # Written in the order of their names, so that file times tell nothing either.
    answers: dict[Path, str] = {}
    for name, whale_seed, shot, identity in sorted(pending):
        _write_photo(asked / name, whale_seed, shot, progress)
        answers[asked / name] = identity
    _write_answers(folder, answers)
    return DrawnCatalogue(gallery, tuple(answers), answers)


def _write_photo(path: Path, whale_seed: int, shot: int, progress: Step | None) -> None:
    stream = io.BytesIO()
    photo = photograph(draw_whale(whale_seed), shot)
    Image.fromarray(photo.pixels).save(stream, "JPEG", quality=90)
    write_bytes(path, stream.getvalue())
    if progress:
        progress(1)


def _write_answers(folder: Path, answers: dict[Path, str]) -> None:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["path", "identity"])
    for path, identity in answers.items():
        table.writerow([path.relative_to(folder).as_posix(), identity])
    write_text(folder / "answers.csv", text.getvalue())
