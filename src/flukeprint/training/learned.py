"""Which photos a run has seen, those of the runs included whose weights it began with.

A model that has seen a photo cannot be asked about it fairly: what a run has seen goes into its
model file, and weights that have seen what a run keeps for the end are refused.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from flukeprint.collection import Collection
from flukeprint.errors import FlukeprintError
from flukeprint.evaluate import HASH_DIGITS
from flukeprint.files import read_json, write_text
from flukeprint.records import Split
from flukeprint.training.runfolder import RunFolder
from flukeprint.training.sides import gives_away
from flukeprint.training.taught import Taught


def seen_before(file: str, collection: Collection, outer: Split) -> set[str]:
    """The first digits of the hashes of what another run's weights or finder have seen.

    Published weights, or those whose run's folder does not lie around them, have seen nothing that
    is known of.

    Raises:
        FlukeprintError: they have seen photos that this run keeps for the end.
    """
    before = RunFolder(Path(file).parent)
    its = (before.weights, before.localiser)
    if not file or Path(file) not in its or not before.config.is_file():
        return set()
    seen = seen_by(before)
    if gives_away(seen, collection, outer):
        raise FlukeprintError(
            f"{file}: has learned from photos that this run keeps for the end; take that of a run "
            "of the same split"
        )
    return seen


def keep_seen(
    folder: RunFolder,
    collection: Collection,
    outer: Split,
    taught: Sequence[Taught],
    before: set[str],
) -> None:
    """Write down what a run is about to see; one that goes on has done so."""
    if folder.learned.exists():
        return
    own = {collection.hashes[name][:HASH_DIGITS] for name in outer.train}
    seen = own | before | {one.sha256 for one in taught}
    write_text(folder.learned, json.dumps({"photos": sorted(seen)}, indent=1) + "\n")


def seen_by(folder: RunFolder) -> set[str]:
    """What a run has seen.

    Raises:
        FlukeprintError: the file is missing or damaged.
    """
    photos = read_json(folder.learned).get("photos")
    if not isinstance(photos, list) or not all(isinstance(one, str) for one in photos):
        raise FlukeprintError(f"{folder.learned}: damaged; train the run again")
    return set(photos)
