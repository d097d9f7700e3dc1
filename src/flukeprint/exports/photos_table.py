"""A CSV of photos as Python libraries of the field read it: ``image_id,path,identity,date``.

Source: the columns of ``wildlife-datasets``, where ``unknown`` is the name of no one.
"""

from __future__ import annotations

from pathlib import Path

from flukeprint.errors import FlukeprintError
from flukeprint.exports.cells import write_csv
from flukeprint.exports.exporting import NO_FILE, Exporting, left_out
from flukeprint.wording import plural

COLUMNS = ("image_id", "path", "identity", "date")
UNKNOWN = "unknown"


def write_photos_table(exporting: Exporting, out: Path) -> tuple[str, ...]:
    """Write one row a photo: its number, its first file from the root, its individual, its date.

    Raises:
        FlukeprintError: an individual is named ``unknown``, or the file cannot be written.
    """
    if UNKNOWN in exporting.names.values():
        raise FlukeprintError(
            f"{out}: an individual is named {UNKNOWN!r}, which here means unidentified; rename it"
        )
    photos = [photo for photo in exporting.photos if photo.paths]
    rows = [
        (photo.number, photo.paths[0], exporting.name(photo) or UNKNOWN, photo.date)
        for photo in photos
    ]
    notes = write_csv(out, COLUMNS, rows)
    gone = [photo for photo in exporting.photos if not photo.paths]
    unknown = sum(photo.individual is None for photo in photos)
    done = f"{plural(len(rows), 'photo')}, {unknown:,} of them {UNKNOWN}: {out}"
    return (done, *notes, *left_out(gone, NO_FILE))
