"""What folders of photos hold beside flukes, drawn: pages of text, gulls, boats, whales' backs."""

from __future__ import annotations

import math
import string
from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from flukeprint.records import Box

Grey = NDArray[np.uint8]
Point = tuple[float, float]

SIDE_PX = 400  # drawn large and brought down, so that edges are smooth
LETTERS = 2 * string.ascii_lowercase + string.ascii_uppercase + string.digits + ".-"
FONTS = ("cmr10", "cmss10", "cmtt10", "STIXGeneral", "STIXGeneralBol")
OTHER_FONTS = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSerif", "DejaVuSansMono")
"""Fonts that come with matplotlib: to learn from, and to test with."""
FONT_FOLDER = Path(matplotlib.get_data_path()) / "fonts" / "ttf"


def draw_page(rng: np.random.Generator, fonts: Sequence[str] = FONTS) -> Grey:
    """A page of text, a data sheet or a slate, printed or by hand: (400, 400) uint8, squashed."""
    paper, ink = rng.uniform(0.7, 1.0), rng.uniform(0.0, 0.35)
    if rng.random() < 0.3:
        paper, ink = 1.0 - paper, 1.0 - ink
    page = Image.new("L", (SIDE_PX, SIDE_PX), round(255 * paper))
    pen = ImageDraw.Draw(page)
    tone = round(255 * ink)
    tall = math.exp(rng.uniform(math.log(10), math.log(90)))
    left, line, leading = rng.uniform(-20, 60), rng.uniform(-10, 3 * tall), rng.uniform(1.1, 2.5)
    write = _by_hand if rng.random() < 0.35 else _printed(rng, fonts, tall)
    if rng.random() < 0.3:  # a form
        for x in np.sort(rng.uniform(0, SIDE_PX, rng.integers(1, 5))):
            pen.line([(x, 0), (x, SIDE_PX)], fill=tone, width=int(rng.integers(1, 4)))
    ruled = rng.random() < 0.25
    while line < SIDE_PX:
        x = left + (rng.uniform(0, 60) if rng.random() < 0.3 else 0.0)
        for _ in range(int(rng.integers(0, 9))):
            x = write(rng, pen, (x, line), tall, tone) + 0.4 * tall
            if x > SIDE_PX or rng.random() < 0.08:
                break
        line += leading * tall
        if ruled:
            pen.line([(0, line), (SIDE_PX, line)], fill=tone, width=1)
    return np.asarray(page.filter(ImageFilter.GaussianBlur(rng.uniform(0.0, 2.5))))


def draw_card(photo: Grey, page: Grey, rng: np.random.Generator) -> tuple[Grey, Box]:
    """A photo set into a page, text above or below it: (400, 400) uint8, and where it lies.

    ``photo`` (H, W) uint8 takes its place whatever its shape; ``page`` is of :func:`draw_page`.
    """
    card = Image.fromarray(page)
    wide, tall = (1.0, 1.0) if rng.random() < 0.6 else rng.uniform(0.8, 1.0, 2)
    tall *= rng.uniform(0.6, 0.92)
    left, top = rng.uniform(0.0, 1.0 - wide), (1.0 - tall) * float(rng.choice([0.0, 0.0, 1.0]))
    place = [round(SIDE_PX * side) for side in (left, top, left + wide, top + tall)]
    size = place[2] - place[0], place[3] - place[1]
    card.paste(Image.fromarray(photo).resize(size, Image.Resampling.BICUBIC), (place[0], place[1]))
    return np.asarray(card), Box(*(side / SIDE_PX for side in place))


Write = Callable[[np.random.Generator, ImageDraw.ImageDraw, Point, float, int], float]


def _printed(rng: np.random.Generator, fonts: Sequence[str], tall: float) -> Write:
    font = ImageFont.load_default(tall)
    if rng.random() < 0.7:
        font = ImageFont.truetype(str(FONT_FOLDER / f"{rng.choice(fonts)}.ttf"), tall)

    def write(
        rng: np.random.Generator, pen: ImageDraw.ImageDraw, at: Point, tall: float, tone: int
    ) -> float:
        word = "".join(rng.choice(list(LETTERS), rng.integers(1, 11)))
        pen.text(at, word, fill=tone, font=font)
        return at[0] + pen.textlength(word, font=font)

    return write


def _by_hand(
    rng: np.random.Generator, pen: ImageDraw.ImageDraw, at: Point, tall: float, tone: int
) -> float:
    """A word's scrawl; returns where it ends."""
    strokes, x = int(rng.integers(4, 24)), at[0]
    points = []
    for stroke in range(strokes):
        high = rng.uniform(0.0, 0.5) if stroke % 2 else rng.uniform(0.5, 1.0)
        points.append((x, at[1] + tall * float(high)))
        x += tall * float(rng.uniform(0.05, 0.35))
    pen.line(points, fill=tone, width=max(round(tall * 0.07), 1), joint="curve")
    return x


def draw_on(ground: Grey, rng: np.random.Generator) -> Grey:
    """A gull, a boat or a whale's back before a sea or a sky: (400, 400) uint8.

    ``ground`` (H, W) uint8 is stretched to the picture.
    """
    scene = Image.fromarray(ground).resize((SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC)
    draw = (_gull, _gull, _boat, _boat, _back)[int(rng.integers(5))]
    for _ in range(int(rng.integers(1, 4)) if draw is _gull else 1):
        tone = int(rng.choice([20, 50, 90, 200, 240]) + rng.integers(-15, 15))
        draw(rng, scene, tone)
    return np.asarray(scene.filter(ImageFilter.GaussianBlur(max(rng.uniform(-2.0, 3.0), 0.0))))


def _gull(rng: np.random.Generator, scene: Image.Image, tone: int) -> None:
    """A bird in flight: a body, and two wings bent at the wrist, seen at any tilt."""
    span = math.exp(rng.uniform(math.log(40), math.log(330)))
    deep, lift = span * rng.uniform(0.06, 0.14), span * rng.uniform(-0.12, 0.3)
    wings = []
    for side in (-1, 1):
        wrist = (side * span * rng.uniform(0.18, 0.28), -lift * rng.uniform(0.8, 1.6))
        tip = (side * span * 0.5, -lift + span * rng.uniform(-0.1, 0.25))
        wings.append([(0, -deep / 2), wrist, tip, (wrist[0], wrist[1] + deep), (0, deep / 2)])
    body = _oval(span * rng.uniform(0.03, 0.16), span * rng.uniform(0.04, 0.08))
    angle = rng.normal(0.0, 0.35)
    at = tuple(rng.uniform(0.1 * SIDE_PX, 0.9 * SIDE_PX, 2))
    pen = ImageDraw.Draw(scene)
    for number, part in enumerate((*wings, body)):
        shade = tone + (int(rng.integers(-40, 40)) if number == 1 else 0)
        pen.polygon(_placed(part, angle, at), fill=_grey(shade))
    if rng.random() < 0.5:  # dark tips
        for wing in wings:
            wrist, tip, under = wing[1:4]
            start = _between(wrist, tip, 0.7), tip, _between(under, tip, 0.7)
            pen.polygon(_placed(start, angle, at), fill=30)


def _boat(rng: np.random.Generator, scene: Image.Image, tone: int) -> None:
    """A hull, often a cabin with windows, a mast, people or a line."""
    long = math.exp(rng.uniform(math.log(90), math.log(420)))
    deep = long * rng.uniform(0.08, 0.2)
    hull = [
        (-0.5 * long, -deep * rng.uniform(0.5, 1.0)),
        (0.5 * long, -deep * rng.uniform(0.5, 1.3)),
        (long * rng.uniform(0.36, 0.46), deep * 0.5),
        (-long * rng.uniform(0.4, 0.5), deep * 0.5),
    ]
    facing = int(rng.choice([-1, 1]))
    at = (rng.uniform(0.2, 0.8) * SIDE_PX, rng.uniform(0.35, 0.85) * SIDE_PX)
    angle, pen = rng.normal(0, 0.05), ImageDraw.Draw(scene)
    mirrored = [(facing * x, y) for x, y in hull]
    pen.polygon(_placed(mirrored, angle, at), fill=_grey(tone))
    if rng.random() < 0.5:
        stripe = [(x, y * 0.5 + deep * 0.1) for x, y in mirrored]
        pen.polygon(_placed(stripe, angle, at), fill=_grey(255 - tone))
    if rng.random() < 0.75:
        wide, tall = long * rng.uniform(0.15, 0.45), deep * rng.uniform(0.8, 2.2)
        x, top = facing * long * rng.uniform(-0.2, 0.2), -deep * 0.6
        cabin = [(x - wide / 2, top), (x + wide / 2, top)]
        cabin += [(x + wide * 0.45, top - tall), (x - wide * 0.45, top - tall)]
        shade = int(rng.integers(120, 255))
        pen.polygon(_placed(cabin, angle, at), fill=shade)
        for pane in np.linspace(-0.35, 0.2, int(rng.integers(1, 5))):
            left, high = x + wide * pane, top - tall * 0.8
            window = _rectangle(left, high, wide * 0.12, tall * 0.35)
            pen.polygon(_placed(window, angle, at), fill=_grey(shade - 110))
    for _ in range(int(rng.integers(0, 4))):  # masts and aerials
        x = long * rng.uniform(-0.4, 0.4)
        mast = [(x, -deep * 0.6), (x, -deep * rng.uniform(2.0, 6.0))]
        pen.line(_placed(mast, angle, at), fill=_grey(tone), width=int(rng.integers(2, 6)))
    for _ in range(int(rng.integers(0, 5))):  # people
        x, tall = long * rng.uniform(-0.4, 0.4), deep * rng.uniform(0.7, 1.2)
        person = _rectangle(x, -deep * 0.6 - tall, tall * 0.35, tall)
        head = [(x + tall * 0.17 + a, -deep * 0.6 - tall + b) for a, b in _oval(tall * 0.15)]
        shade = int(rng.integers(20, 240))
        pen.polygon(_placed(person, angle, at), fill=shade)
        pen.polygon(_placed(head, angle, at), fill=_grey(shade + 30))


def _back(rng: np.random.Generator, scene: Image.Image, tone: int) -> None:
    """A whale's back with its dorsal fin, the sea before it."""
    long = math.exp(rng.uniform(math.log(150), math.log(500)))
    high, facing = long * rng.uniform(0.06, 0.2), int(rng.choice([-1, 1]))
    at = (rng.uniform(0.2, 0.8) * SIDE_PX, rng.uniform(0.4, 0.85) * SIDE_PX)
    turns = np.linspace(math.pi, 2 * math.pi, 24)
    crest = [(0.5 * long * math.cos(t), high * math.sin(t)) for t in turns]
    fin, tall = long * rng.uniform(0.0, 0.25), long * rng.uniform(0.02, 0.1)
    hook = [(fin - tall * 1.5, -high * 0.7), (fin + tall * rng.uniform(0.0, 1.2), -high - tall)]
    hook += [(fin + tall * rng.uniform(0.6, 1.4), -high * 0.6)]
    pen, dark = ImageDraw.Draw(scene), _grey(min(tone, 90))
    for part in (crest, hook):
        pen.polygon(_placed([(facing * x, y) for x, y in part], 0.0, at), fill=dark)
    if rng.random() < 0.3:  # a blow
        puff = [(x - 0.4 * long * facing, y - 1.5 * high) for x, y in _oval(high * 0.5, high)]
        pen.polygon(_placed(puff, 0.0, at), fill=235)


def _oval(wide: float, tall: float | None = None) -> list[Point]:
    """An oval around the origin, by its half axes."""
    turns = np.linspace(0, 2 * math.pi, 20)
    return [(wide * math.cos(t), (wide if tall is None else tall) * math.sin(t)) for t in turns]


def _rectangle(left: float, top: float, wide: float, tall: float) -> list[Point]:
    return [(left, top), (left + wide, top), (left + wide, top + tall), (left, top + tall)]


def _between(a: Point, b: Point, share: float) -> Point:
    return a[0] + share * (b[0] - a[0]), a[1] + share * (b[1] - a[1])


def _placed(points: Sequence[Point], angle: float, at: Point) -> list[Point]:
    """Points turned by an angle in radians, then moved."""
    cos, sin = math.cos(angle), math.sin(angle)
    return [(at[0] + cos * x - sin * y, at[1] + sin * x + cos * y) for x, y in points]


def _grey(value: float) -> int:
    return int(min(max(value, 0), 255))
