"""Labelled photos as the competition's ``train.csv`` lists them: ``Image,Id``."""

from __future__ import annotations

from pathlib import Path

from flukeprint.catalogue.history import PhotoNow
from flukeprint.exports.cells import write_csv
from flukeprint.exports.exporting import (
    NO_FILE,
    Exporting,
    file_name,
    left_out,
    shared_names,
)
from flukeprint.records import NEW_WHALE
from flukeprint.wording import plural


def write_competition(exporting: Exporting, out: Path) -> tuple[str, ...]:
    """Write one row a labelled photo: its file's name and its individual.

    A photo imported as ``new_whale`` that nobody named since keeps that label. All photos of the
    competition lie in one folder, so photos that share a file's name are left out.

    Raises:
        FlukeprintError: the file cannot be written.
    """
    labelled: list[PhotoNow] = []
    others: list[PhotoNow] = []
    for photo in exporting.photos:
        known = photo.individual is not None or (photo.unnamed and not photo.in_conflict)
        (labelled if known else others).append(photo)
    here = [photo for photo in labelled if photo.paths]
    shared = shared_names(here)
    rows = [
        (file_name(photo), exporting.name(photo) or NEW_WHALE)
        for photo in here
        if file_name(photo).casefold() not in shared
    ]
    notes = write_csv(out, ("Image", "Id"), rows)
    return (
        f"{plural(len(rows), 'photo')}: {out}",
        *notes,
        *left_out([photo for photo in others if photo.in_conflict], "its labels disagree"),
        *left_out([photo for photo in others if not photo.in_conflict], "unidentified"),
        *left_out([photo for photo in labelled if not photo.paths], NO_FILE),
        *left_out(
            [photo for photo in here if file_name(photo).casefold() in shared],
            "another photo's file has the same name, and in one folder they cannot be told apart; "
            "rename one and import again",
        ),
    )
