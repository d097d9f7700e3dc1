"""Catalogues in the forms that other programs read: one function for each form.

``FORMATS[name](exporting, out)`` writes ``out`` and returns lines for the user: how much was
written, and what was left out and why. Nothing here speaks SQL, and no photo is touched.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from flukeprint.exports.capture_history import matches_file, write_capture_history
from flukeprint.exports.competition import write_competition
from flukeprint.exports.darwin_core import write_darwin_core
from flukeprint.exports.exporting import Exporting, left_out
from flukeprint.exports.photos_table import write_photos_table
from flukeprint.exports.wildbook import write_wildbook
from flukeprint.exports.xmp import write_sidecars

Export = Callable[[Exporting, Path], tuple[str, ...]]


def _of_whales(write: Export) -> Export:
    """A form without the photos that show no whale."""

    def written(exporting: Exporting, out: Path) -> tuple[str, ...]:
        whales = [photo for photo in exporting.photos if not photo.no_whale]
        others = [photo for photo in exporting.photos if photo.no_whale]
        lines = write(replace(exporting, photos=whales), out)
        return (*lines, *left_out(others, "a person said of it that it shows no whale"))

    return written


FORMATS: Mapping[str, Export] = MappingProxyType(
    {
        "capture-history": _of_whales(write_capture_history),
        "photos": _of_whales(write_photos_table),
        "darwin-core": _of_whales(write_darwin_core),
        "xmp": write_sidecars,  # which takes words back from what is no whale's any more
        "wildbook": _of_whales(write_wildbook),
        "competition": _of_whales(write_competition),
    }
)
"""``out`` is a CSV file, for darwin-core a .zip, for xmp and wildbook a folder."""

__all__ = ["FORMATS", "Export", "Exporting", "matches_file"]
