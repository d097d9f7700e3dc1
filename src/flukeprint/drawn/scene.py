"""What surrounds a drawn fluke on its photo: sea, sky, light, splash, and the camera's marks."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from flukeprint.drawn.whale import Floats, smooth_noise
from flukeprint.records import Box

Size = tuple[int, int]  # rows, columns


def draw_sea(rng: np.random.Generator, size: Size, water: float) -> tuple[Floats, Floats]:
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


def light(rng: np.random.Generator, skin: Floats, tint: Floats) -> Floats:
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


def add_splash(rng: np.random.Generator, scene: Floats, box: Box, water: float) -> None:
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


def develop(rng: np.random.Generator, scene: Floats) -> NDArray[np.uint8]:
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
