"""The competition's file: five distinct labels, and names as they came."""

from __future__ import annotations

import csv
import random
from pathlib import Path

import pytest

from flukeprint.errors import FlukeprintError
from flukeprint.records import NEW_WHALE, Candidate, Identification
from flukeprint.submission import check_submission, fillers, five_labels, write_submission
from tests.tiny import UNSEEN, table_of

FILLER = ["f1", "f2", "f3", "f4", "f5"]


def answer(photo: str, new: float, **whales: float) -> Identification:
    likeliest = sorted(whales.items(), key=lambda item: -item[1])
    return Identification(photo, tuple(Candidate(who, p) for who, p in likeliest), new)


@pytest.mark.parametrize(
    ("given", "labels"),
    [
        (answer("q", 0.05, a=0.6, b=0.2, c=0.1, d=0.03, e=0.02), ["a", "b", "c", NEW_WHALE, "d"]),
        (answer("q", 0.9, a=0.06, b=0.04), [NEW_WHALE, "a", "b", "f1", "f2"]),
        (answer("q", 0.1, a=0.9), ["a", NEW_WHALE, "f1", "f2", "f3"]),
        (answer("q", 1.0), [NEW_WHALE, "f1", "f2", "f3", "f4"]),
        (answer("q", 0.1, f2=0.9), ["f2", NEW_WHALE, "f1", "f3", "f4"]),
        (Identification("q", failure="damaged"), [NEW_WHALE, "f1", "f2", "f3", "f4"]),
        (Identification("q", look=UNSEEN), [NEW_WHALE, "f1", "f2", "f3", "f4"]),
    ],
)
def test_new_whale_takes_its_place_by_probability(given: Identification, labels: list[str]) -> None:
    assert five_labels(given, FILLER) == labels


def test_new_whale_is_left_out_where_five_whales_are_likelier() -> None:
    whales = {name: 0.19 - n / 1_000 for n, name in enumerate("abcdef")}
    assert five_labels(answer("q", 0.0, **whales), FILLER) == list("abcde")
    assert five_labels(answer("q", 0.1865, **whales), FILLER) == ["a", "b", "c", "d", NEW_WHALE]


def test_fillers_are_the_whales_with_most_photos_ties_by_name() -> None:
    table = table_of(("1", "b"), ("2", "a"), ("3", "c"), ("4", "c"), ("5", NEW_WHALE))
    assert fillers(table) == ["c", "a", "b"]


def hostile_names(count: int) -> list[str]:
    """Distinct base names of what a file system may hold: anything but / and NUL."""
    chance = random.Random(0)
    nasty = ["=1+1", '"', ",", "\n", "\r", "\r\n", "\udcff", "ü", "鯨", " ", "'", "\\", ";", "\t"]
    made = ["".join(chance.choices(nasty, k=chance.randint(1, 6))) for _ in range(3 * count)]
    return list(dict.fromkeys(made))[:count]


def test_hostile_names_come_out_as_they_went_in(tmp_path: Path) -> None:
    names = hostile_names(300)
    assert len(names) == 300
    given = [answer(f"some/folder/{name}", 0.1, a=0.9) for name in names]
    write_submission(given, FILLER, tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(
        newline="", encoding="utf-8", errors="surrogateescape"
    ) as stream:
        rows = list(csv.DictReader(stream))
    assert [row["Image"] for row in rows] == names
    assert {row["Id"] for row in rows} == {"a new_whale f1 f2 f3"}


def test_plain_rows_are_plain(tmp_path: Path) -> None:
    write_submission([answer("q.jpg", 1.0)], FILLER, tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_bytes() == b"Image,Id\nq.jpg,new_whale f1 f2 f3 f4\n"


@pytest.mark.parametrize("label", ["two words", " a", "a ", "a\tb", "a\nb", "a\u00a0b", ""])
def test_a_label_with_white_space_is_refused(label: str) -> None:
    with pytest.raises(FlukeprintError, match="holds a space"):
        check_submission([Path("q")], ["a", label])


def test_two_photos_of_one_base_name_are_refused() -> None:
    with pytest.raises(FlukeprintError, match=r"two photos are named 'q\.jpg'"):
        check_submission([Path("a/q.jpg"), Path("b/q.jpg")], ["a"])
    check_submission([Path("a/q.jpg"), Path("a/r.jpg")], ["a", "b"])
