"""Flukeprint's own backbones, one file for each source; ``backbones.BACKBONES`` lists them."""
