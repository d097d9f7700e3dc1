"""Answers for other programs: one line of JSON a photo, or a CSV file."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from flukeprint.errors import FlukeprintError
from flukeprint.files import write_text
from flukeprint.records import NEW_WHALE, Candidate, Identification
from flukeprint.tables import guard, unguard


def verdict(answer: Identification) -> str:
    """In words for a person: "known", "new", or "undecided" where neither is believed by half.

    "New" may be the likeliest single answer and still be less likely than all whales together.
    """
    name, probability = likeliest(answer)
    if name != NEW_WHALE:
        return "known"
    return "new" if probability >= 0.5 else "undecided"


def likeliest(answer: Identification) -> tuple[str, float]:
    """The likeliest whale, or ``new_whale``, with its probability; new yields to a whale as likely.

    For a photo that could not be read it is ``new_whale`` with probability 0.
    """
    named = [(candidate.individual, candidate.probability) for candidate in answer.candidates]
    return max([*named, (NEW_WHALE, answer.new or 0.0)], key=lambda pair: pair[1])


def share(probability: float) -> str:
    """A probability in whole per cent, never "0 %" for something nor "100 %" for less than all."""
    if 0 < probability < 0.01:
        return "<1 %"
    return ">99 %" if 0.99 < probability < 1 else f"{100 * probability:.0f} %"


def json_line(answer: Identification, top: int) -> str:
    """One line of ASCII JSON with ``photo``, the ``top`` ``candidates``, ``new`` and ``error``.

    ``json.loads`` gives every name back as it was, also one that is not valid UTF-8 on disk.
    """
    return json.dumps(
        {
            "photo": answer.photo,
            "candidates": [
                {
                    "individual": candidate.individual,
                    "probability": candidate.probability,
                    "photos": list(candidate.photos),
                }
                for candidate in answer.candidates[:top]
            ],
            "new": answer.new,
            "error": answer.failure,
        }
    )


def write_csv(answers: Sequence[Identification], top: int, path: Path) -> None:
    """Write a row per photo: photo, new, answer_1, probability_1, ... up to ``top``, error.

    Cells that a spreadsheet would run get an apostrophe, which :func:`read_csv` takes off again.

    Raises:
        FlukeprintError: the file cannot be written.
    """
    text = io.StringIO(newline="")
    # Text is always quoted: a spreadsheet that splits at ";" must not find a formula inside a cell.
    writer = csv.writer(text, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
    named = [f"{what}_{k + 1}" for k in range(top) for what in ("answer", "probability")]
    writer.writerow(["photo", "new", *named, "error"])
    for answer in answers:
        cells: list[str | float] = [guard(answer.photo), "" if answer.new is None else answer.new]
        for candidate in answer.candidates[:top]:
            cells += [guard(candidate.individual), candidate.probability]
        cells += [""] * (2 + 2 * top - len(cells))
        writer.writerow([*cells, guard(answer.failure or "")])
    write_text(path, text.getvalue())


def read_csv(path: Path) -> list[Identification]:
    """Read what :func:`write_csv` wrote; the candidates come back without their photos.

    Raises:
        FlukeprintError: the file cannot be read or is not such a file.
    """
    try:
        # Not UTF-8 on disk is not UTF-8 here: such a name is kept byte for byte.
        text = path.read_bytes().decode("utf-8", errors="surrogateescape").removeprefix("\ufeff")
        return list(_answers(csv.reader(io.StringIO(text, newline=""), strict=True)))
    except OSError as error:
        raise FlukeprintError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (csv.Error, ValueError) as error:
        raise FlukeprintError(f"{path}: not answers of flukeprint identify: {error}") from None


def _answers(rows: Iterator[list[str]]) -> Iterator[Identification]:
    header = next(rows, [])
    if len(header) % 2 == 0 or [*header[:2], header[-1]] != ["photo", "new", "error"]:
        raise ValueError("the first line must begin with photo,new and end with error")
    for place, row in enumerate(rows, 1):
        if len(row) != len(header):
            raise ValueError(f"row {place} has {len(row)} cells, expected {len(header)}")
        pairs = zip(row[2:-1:2], row[3:-1:2], strict=True)
        yield Identification(
            unguard(row[0]),
            tuple(Candidate(unguard(name), float(told)) for name, told in pairs if told),
            float(row[1]) if row[1] else None,
            unguard(row[-1]) or None,
        )
