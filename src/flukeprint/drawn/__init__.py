"""Drawn whales and photos of them: the demo's data, the tests' and part of the training's."""

from flukeprint.drawn.photo import DrawnPhoto, photograph
from flukeprint.drawn.whale import DrawnWhale, draw_whale

__all__ = ["DrawnPhoto", "DrawnWhale", "draw_whale", "photograph"]
