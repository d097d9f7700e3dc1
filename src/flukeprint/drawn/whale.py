"""Drawn whales: the permanent marks of a made-up humpback and its flat fluke as a picture.

A fluke is described in its own flat coordinates: ``u`` runs from -1 (left tip) to 1 (right tip),
``v`` upwards with 0 at the middle of the trailing edge. The trailing edge is the upper one, as in
a photo of a diving whale, and the tail stock runs downwards. Photos are made from the flat
picture by :mod:`flukeprint.drawn`.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Floats = NDArray[np.float32]
Range = tuple[float, float]

SEED_LIMIT = 2**32  # larger seeds would fill two words and could run into another stream's words
TEXTURE_WIDTH = 480
TEXTURE_HEIGHT = 360
TEXEL = 2.06 / TEXTURE_WIDTH
TOP_V = 0.55
_MARKS_STREAM, _SKIN_STREAM = 1, 2
_KNOTS = 36


@dataclass(frozen=True, slots=True)
class Lobe:
    """One half of a fluke; lengths are in half spans."""

    sweep: float  # how far the tip lies behind the middle
    hump: float  # bulge of the inner trailing edge
    chord: float  # depth at the root
    fullness: float  # convexity of the leading edge
    tip: float  # 0.45 round to 1 pointed
    serration: tuple[float, ...]  # height of the trailing edge at even steps, root to tip
    nicks: tuple[tuple[float, float, float], ...]  # (place 0..1, half width, depth)
    white: float  # adds to the whale's whiteness


@dataclass(frozen=True, slots=True)
class Scar:
    """One mark on the skin: ``kind`` is "line", "rake", "ring" or "spot"."""

    kind: str
    u: float
    v: float
    angle: float
    length: float
    width: float
    light: bool


@dataclass(frozen=True, slots=True)
class DrawnWhale:
    """A whale's permanent marks. Hashable; equal seeds give equal whales."""

    seed: int
    left: Lobe
    right: Lobe
    notch: tuple[float, float]  # depth, width
    stock: float  # half width of the tail stock
    whiteness: float  # below -1 all black, above 1 nearly all white
    grain: float  # strength of the fine part of the pigment's borders
    streak: float  # strength of the part drawn out along the chord
    softness: float  # width of the pigment's borders
    rim: tuple[float, float]  # strength and width of the dark edge
    centre: tuple[float, float]  # strength and width of the dark middle
    outward: float  # whiteness gained towards the tips
    speckle: tuple[float, float]  # light specks in the dark, dark specks in the light
    tones: tuple[float, float]  # darkness of black, brightness of white
    scars: tuple[Scar, ...]


def draw_whale(seed: int) -> DrawnWhale:
    """Return the whale of a seed.

    Raises:
        ValueError: ``seed`` is not in 0..2**32-1.
    """
    check_number("seed", seed)
    rng = np.random.default_rng([_MARKS_STREAM, seed])
    shape = _uniforms(rng, (0.0, 0.34), (-0.02, 0.12), (0.44, 0.72), (1.3, 2.8), (0.42, 0.8))
    roughness = float(rng.uniform(0.1, 1.0)) ** 2
    nick_mean = float(rng.choice([0.6, 2.0, 4.5]))
    left = _draw_lobe(rng, shape, roughness, nick_mean)
    right = _draw_lobe(rng, shape, roughness, nick_mean)
    notch = _uniforms(rng, (0.03, 0.22), (0.03, 0.14))
    stock = float(rng.uniform(0.07, 0.13))
    whiteness = float(rng.uniform(-1.7, 2.8))
    grain, streak, softness = _uniforms(rng, (0.15, 0.9), (0.0, 0.8), (0.04, 0.5))
    rim = _uniforms(rng, (0.5, 3.5), (0.015, 0.06))
    centre = _uniforms(rng, (0.5, 3.0), (0.03, 0.4))
    outward = float(rng.uniform(-0.3, 1.0))
    speckle = _uniforms(rng, (0.0, 1.0), (0.0, 1.0))
    tones = _uniforms(rng, (0.05, 0.16), (0.68, 0.97))
    scars = tuple(_draw_scar(rng) for _ in range(int(rng.integers(3, 26))))
    return DrawnWhale(
        seed, left, right, (notch[0], notch[1]), stock, whiteness, grain, streak, softness,
        (rim[0], rim[1]), (centre[0], centre[1]), outward, (speckle[0] ** 2, speckle[1] ** 2),
        (tones[0], tones[1]), scars,
    )  # fmt: skip


def check_number(name: str, value: int) -> None:
    """Raise ValueError unless ``value`` may be part of a seed: 0 <= value < 2**32."""
    if not 0 <= value < SEED_LIMIT:
        raise ValueError(f"{name} must be from 0 to {SEED_LIMIT - 1}, not {value}")


def _uniforms(rng: np.random.Generator, *ranges: Range) -> list[float]:
    return [float(rng.uniform(low, high)) for low, high in ranges]


def _draw_lobe(
    rng: np.random.Generator, shape: list[float], roughness: float, nick_mean: float
) -> Lobe:
    """Vary the whale's common shape a little: the two sides of a tail are alike, never equal."""
    sweep, hump, chord, fullness, tip = (
        value * float(rng.uniform(0.9, 1.1)) for value in shape
    )  # fmt: skip
    steps = rng.normal(0.0, 1.0, _KNOTS) * rng.uniform(0.2, 1.0, _KNOTS)
    waves = np.interp(
        np.arange(_KNOTS), np.arange(0, _KNOTS + 6, 6), rng.normal(size=_KNOTS // 6 + 1)
    )
    heights = roughness * 0.022 * steps + 0.014 * waves
    nicks: list[tuple[float, float, float]] = []
    for _ in range(int(rng.poisson(nick_mean))):
        big = rng.random() < 0.2
        width = float(rng.uniform(0.03, 0.08) if big else rng.uniform(0.008, 0.025))
        depth = float(rng.uniform(0.03, 0.09) if big else rng.uniform(0.015, 0.06))
        nicks.append((float(rng.uniform(0.08, 0.96)), width, depth))
    white = float(rng.normal(0.0, 0.22))
    serration = tuple(float(height) for height in heights)
    return Lobe(sweep, hump, chord, fullness, min(tip, 1.0), serration, tuple(nicks), white)


def _draw_scar(rng: np.random.Generator) -> Scar:
    kind = str(rng.choice(["line", "rake", "ring", "spot"], p=[0.35, 0.12, 0.18, 0.35]))
    side = 1.0 if rng.random() < 0.5 else -1.0
    u = side * float(rng.uniform(0.04, 0.9))
    length = {"line": (0.05, 0.35), "rake": (0.06, 0.2), "ring": (0.012, 0.03)}
    low, high = length.get(kind, (0.008, 0.035))
    return Scar(
        kind,
        u,
        float(rng.uniform(-0.42, 0.05)) * (1 - u * u) + 0.06 * u * u,
        float(rng.uniform(0, math.pi)),
        float(rng.uniform(low, high)),
        float(rng.uniform(0.004, 0.012)),
        bool(rng.random() < 0.6),
    )


def edges(whale: DrawnWhale, u: NDArray[np.float64]) -> tuple[Floats, Floats]:
    """Return the heights ``v`` of the trailing and the leading edge at ``u`` (1-d, -1..1)."""
    a = np.minimum(np.abs(u), 1.0)
    left, right = _lobe_edges(whale.left, whale, a), _lobe_edges(whale.right, whale, a)
    trail = np.where(u < 0, left[0], right[0])
    lead = np.where(u < 0, left[1], right[1])
    return trail.astype(np.float32), lead.astype(np.float32)


def _lobe_edges(
    lobe: Lobe, whale: DrawnWhale, a: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    spine = lobe.sweep * a**2.4 + lobe.hump * np.sin(math.pi * a**0.8) * (1 - a)
    chord = lobe.chord * (1 - a**lobe.fullness) ** lobe.tip
    depth, width = whale.notch
    trail = spine - depth * np.exp(-((a / width) ** 1.3))
    knots = np.linspace(0.04, 1.0, len(lobe.serration))
    # Serration and nicks fade at the tip: where the lobe is thin they would cut it off.
    fade = np.minimum(1.0, chord / 0.12)
    trail += np.interp(a, knots, lobe.serration) * fade * np.minimum(1.0, a / 0.05)
    for place, half, deep in lobe.nicks:
        trail -= deep * fade * np.clip(1.3 * (1 - np.abs(a - place) / half), 0.0, 1.0)
    # Both roots meet at their mean, or the stock would show a step in the middle.
    root = (whale.left.chord + whale.right.chord) / 2
    lead = spine - chord - (root - lobe.chord) * np.exp(-a / 0.15)
    return np.maximum(trail, lead), lead


def smooth_noise(rng: np.random.Generator, grid: tuple[int, int], shape: tuple[int, int]) -> Floats:
    """Return smooth noise, float32 of ``shape``, about zero with spread about 1 or less.

    A random ``grid`` (rows, columns) is enlarged with a bicubic filter, so its cells set the
    size of the blobs.
    """
    values = rng.standard_normal(grid, dtype=np.float32)
    image = Image.fromarray(values).resize((shape[1], shape[0]), Image.Resampling.BICUBIC)
    return np.array(image, dtype=np.float32)


@lru_cache(maxsize=48)
def flat_fluke(whale: DrawnWhale, halvings: int = 0) -> Floats:
    """Return the whale's flat fluke, float32 (2, height, width), both planes in 0..1.

    Plane 0 is the brightness of the skin, plane 1 the cover (1 inside the outline). At
    ``halvings`` 0 it is 360 rows by 480 columns; each halving averages 2 by 2 texels. Row 0 is
    at v = 0.55, column 0 at u = -1.03. The array is shared and read-only.
    """
    if halvings > 0:
        finer = flat_fluke(whale, halvings - 1)
        planes, rows, columns = finer.shape
        blocks = finer.reshape(planes, rows // 2, 2, columns // 2, 2)
        fluke: Floats = blocks.mean(axis=(2, 4), dtype=np.float32)
    else:
        u = np.arange(TEXTURE_WIDTH, dtype=np.float64) * TEXEL + (TEXEL / 2 - 1.03)
        v = (TOP_V - (np.arange(TEXTURE_HEIGHT) + 0.5) * TEXEL).astype(np.float32)[:, None]
        inside = _inside(whale, u, v)
        cover = np.clip(0.5 + inside / TEXEL, 0.0, 1.0)
        skin = _scarred(whale, _pigment(whale, inside, u.astype(np.float32), v))
        fluke = np.stack([skin, cover]).astype(np.float32)
    fluke.setflags(write=False)
    return fluke


def _inside(whale: DrawnWhale, u: NDArray[np.float64], v: Floats) -> Floats:
    """Return about the distance to the outline, positive inside, (rows, columns)."""
    trail, lead = edges(whale, u)
    steep_trail = np.hypot(1.0, np.gradient(trail, TEXEL)).astype(np.float32)
    steep_lead = np.hypot(1.0, np.gradient(lead, TEXEL)).astype(np.float32)
    lobes = np.minimum((trail - v) / steep_trail, (v - lead) / steep_lead)
    a = np.abs(u).astype(np.float32)
    lobes = np.minimum(lobes, (1.0 - a) * 2)
    root = -(whale.left.chord + whale.right.chord) / 2
    width = whale.stock * (1 + 0.7 * np.clip((root - v) / 0.4, 0, 1))
    stock = np.minimum(width - a, root + 0.2 - v)
    # A soft union, so that the leading edges run into the stock in a curve.
    blended = np.logaddexp(40 * lobes, 40 * stock) / 40
    return np.where(np.maximum(lobes, stock) > -0.05, blended, -1.0).astype(np.float32)


def _pigment(whale: DrawnWhale, inside: Floats, u: Floats, v: Floats) -> Floats:
    rng = np.random.default_rng([_SKIN_STREAM, whale.seed])
    shape = (TEXTURE_HEIGHT, TEXTURE_WIDTH)
    broad = smooth_noise(rng, (5, 7), shape)
    # Real patterns are alike on both sides at large, and differ in everything smaller.
    field = 0.45 * (broad + broad[:, ::-1]) + 0.6 * smooth_noise(rng, (9, 12), shape)
    field += whale.grain * 0.6 * smooth_noise(rng, (30, 40), shape)
    field += whale.grain * 0.6 * smooth_noise(rng, (90, 120), shape)
    field += whale.streak * smooth_noise(rng, (10, 90), shape)
    a = np.abs(u)
    field += whale.whiteness + np.where(u < 0, whale.left.white, whale.right.white)
    field += whale.outward * (a - 0.45)
    field -= whale.centre[0] * np.exp(-a / whale.centre[1])
    uneven = 1.0 + 0.5 * smooth_noise(rng, (20, 30), shape)
    field -= whale.rim[0] * np.exp(
        -np.maximum(inside, 0) / (whale.rim[1] * np.maximum(uneven, 0.2))
    )
    root = -(whale.left.chord + whale.right.chord) / 2
    field -= 6.0 * np.clip((root + 0.12 - v) / 0.2, 0, 1) * np.exp(-((a / 0.2) ** 2))
    white = 1 / (1 + np.exp(np.clip(-field / (0.25 * whale.softness), -30, 30)))
    fine = smooth_noise(rng, (150, 200), shape) + 0.5 * smooth_noise(rng, (30, 40), shape)
    light = np.clip((fine - 2.2 + whale.speckle[0]) * 2, 0, 1) * 0.75
    dark = np.clip((-fine - 2.3 + whale.speckle[1]) * 2, 0, 1) * 0.85
    white = white + light * (1 - white) - dark * white
    mottle = (
        1 + 0.08 * smooth_noise(rng, (12, 16), shape) + 0.05 * smooth_noise(rng, (60, 80), shape)
    )
    black_tone, white_tone = whale.tones
    skin: Floats = np.clip((black_tone + (white_tone - black_tone) * white) * mottle, 0.02, 1.0)
    return skin


def _scarred(whale: DrawnWhale, skin: Floats) -> Floats:
    size = (2 * TEXTURE_WIDTH, 2 * TEXTURE_HEIGHT)
    for light, tone in ((True, 0.82), (False, 0.1)):
        sheet = Image.new("L", size)
        pen = ImageDraw.Draw(sheet)
        for scar in whale.scars:
            if scar.light is light:
                _pen_scar(pen, scar)
        small = sheet.resize((TEXTURE_WIDTH, TEXTURE_HEIGHT), Image.Resampling.BOX)
        ink = np.asarray(small, dtype=np.float32) * np.float32(0.85 / 255)
        skin = skin + (np.float32(tone) - skin) * ink
    return skin


def _pen_scar(pen: ImageDraw.ImageDraw, scar: Scar) -> None:
    scale = 2 / TEXEL
    x, y = (scar.u + 1.03) * scale, (TOP_V - scar.v) * scale
    reach, thick = scar.length * scale, max(2, round(scar.width * scale))
    if scar.kind in ("ring", "spot"):
        bounds = (x - reach, y - reach * 0.8, x + reach, y + reach * 0.8)
        if scar.kind == "ring":
            pen.ellipse(bounds, outline=230, width=thick)
        else:
            pen.ellipse(bounds, fill=255)
        return
    across = (-math.sin(scar.angle) * thick * 2.5, math.cos(scar.angle) * thick * 2.5)
    for tooth in range(5 if scar.kind == "rake" else 1):
        left, top = x + across[0] * tooth, y + across[1] * tooth
        points = []
        for step in range(9):
            t = step / 8 - 0.5
            bend = scar.angle + 0.5 * t
            points.append((left + math.cos(bend) * reach * t, top + math.sin(bend) * reach * t))
        pen.line(points, fill=220, width=thick, joint="curve")
