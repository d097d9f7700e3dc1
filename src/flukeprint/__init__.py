"""flukeprint: which humpback is this? Names whales from photos of the underside of the tail."""

__version__ = "0.1.0"
