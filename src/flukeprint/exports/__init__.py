"""Catalogues in the forms that other programs read: one function for each form.

``FORMATS[name](exporting, out)`` writes ``out`` and returns lines for the user: how much was
written, and what was left out and why. Nothing here speaks SQL, and no photo is touched.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from flukeprint.exports.capture_history import matches_file, write_capture_history
from flukeprint.exports.competition import write_competition
from flukeprint.exports.darwin_core import write_darwin_core
from flukeprint.exports.exporting import Exporting
from flukeprint.exports.photos_table import write_photos_table
from flukeprint.exports.wildbook import write_wildbook
from flukeprint.exports.xmp import write_sidecars

Export = Callable[[Exporting, Path], tuple[str, ...]]

FORMATS: Mapping[str, Export] = MappingProxyType(
    {
        "capture-history": write_capture_history,
        "photos": write_photos_table,
        "darwin-core": write_darwin_core,
        "xmp": write_sidecars,
        "wildbook": write_wildbook,
        "competition": write_competition,
    }
)
"""``out`` is a CSV file, for darwin-core a .zip, for xmp and wildbook a folder."""

__all__ = ["FORMATS", "Export", "Exporting", "matches_file"]
