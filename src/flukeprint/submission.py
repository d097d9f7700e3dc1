"""The competition's answer file: ``Image,Id``, five distinct labels a photo."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from flukeprint.errors import FlukeprintError
from flukeprint.files import write_text
from flukeprint.records import ANSWERS, NEW_WHALE, Identification, Table


def five_labels(answer: Identification, filler: Sequence[str]) -> list[str]:
    """Five distinct labels, likeliest first: ``new_whale`` is one unless five whales are likelier.

    A photo without a fluke is guessed at: in a competition all photos show one. ``filler`` are the
    labels to take where the answer has too few, as for a photo that could not be read; fewer than
    five come back only if there are fewer whales than that.
    """
    if answer.guesses:
        return list(dict.fromkeys([*answer.guesses, *filler]))[:ANSWERS]
    whales = [(candidate.probability, candidate.individual) for candidate in answer.candidates]
    new = 1.0 if answer.new is None else answer.new
    above = [name for probability, name in whales if probability >= new]
    below = [name for probability, name in whales if probability < new]
    return list(dict.fromkeys([*above, NEW_WHALE, *below, *filler]))[:ANSWERS]


def fillers(table: Table) -> list[str]:
    """The individuals with most photos, ties by name: the best guess where nothing is known."""
    counts = Counter(row.individual for row in table.rows if row.individual != NEW_WHALE)
    return [name for name, _ in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))]


def check_submission(photos: Sequence[Path], individuals: Iterable[str]) -> None:
    """Refuse what the format cannot carry, before anybody waits for answers.

    Raises:
        FlukeprintError: an individual's name holds white space, or two photos have one base name.
    """
    twice = next((name for name, n in Counter(p.name for p in photos).items() if n > 1), None)
    if twice is not None:
        raise FlukeprintError(f"--kaggle: two photos are named {twice!r}; ask for one at a time")
    broken = next((name for name in individuals if name.split() != [name]), None)
    if broken is not None:
        raise FlukeprintError(
            f"--kaggle: the label {broken!r} holds a space, which this format cannot carry"
        )


def write_submission(answers: Sequence[Identification], filler: Sequence[str], path: Path) -> None:
    """Write one row per query: its base name and five labels. See :func:`check_submission`.

    Raises:
        FlukeprintError: the file cannot be written.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    quoter = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerow(["Image", "Id"])
    for answer in answers:
        name = Path(answer.photo).name
        labels = five_labels(answer, filler)
        # Python before 3.13 does not quote a carriage return, which then ends the row.
        (quoter if "\r" in name else writer).writerow([name, " ".join(labels)])
    write_text(path, text.getvalue())
