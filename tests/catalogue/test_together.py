"""Two processes decide at once, and processes are killed while they decide."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from flukeprint.catalogue import Catalogue, Same, check
from flukeprint.catalogue.salvage import CUT_OFF
from tests.catalogue.small import content, photo, placed, query

EACH = 1_000 if "FLUKEPRINT_SLOW" in os.environ else 200
BACKUPS = 50 if "FLUKEPRINT_SLOW" in os.environ else 10
KILLS = 40 if "FLUKEPRINT_SLOW" in os.environ else 6
SOURCE = Path(__file__).resolve().parents[2] / "src"

DECIDE = """
import sys
from pathlib import Path
from flukeprint.catalogue import Catalogue, Same
from flukeprint.errors import FlukeprintError

path, who, individual, seen, first, last = sys.argv[1:]
with Catalogue.open(Path(path)) as book:
    print("ready", flush=True)
    sys.stdin.readline()
    for photo in range(int(first), int(last) + 1):
        try:
            told = book.decide(Same(photo, int(individual)), who=who, seen=int(seen))
            print(photo, told.event, flush=True)
        except FlukeprintError as error:
            print(photo, "refused:", error, flush=True)
"""


def deciding(path: Path, who: str, individual: int, first: int, last: int) -> subprocess.Popen[str]:
    """A process that is ready to confirm photos, on what revision 1 showed."""
    child = subprocess.Popen(
        [
            *(sys.executable, "-c", DECIDE, str(path), who, str(individual), "1"),
            *(str(first), str(last)),
        ],
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert child.stdout and child.stdout.readline() == "ready\n"
    return child


def go(*children: subprocess.Popen[str]) -> list[list[str]]:
    """Let them decide, and what each said."""
    for child in children:
        assert child.stdin
        child.stdin.write("\n")
        child.stdin.flush()
    said = [child.communicate()[0].splitlines() for child in children]
    assert [child.returncode for child in children] == [0] * len(children)
    return said


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """Unidentified photos, and two of individuals A (1) and B (2) at the end."""
    path = tmp_path / "book"
    with Catalogue.create(path) as book:
        unknown = [photo(n) for n in range(2 * EACH)]
        book.add_photos([*unknown, photo(-1, "A"), photo(-2, "B")], who="Ann")
    return path


def test_verdicts_on_different_photos_are_all_there(many: Path) -> None:
    first = deciding(many, "Bo", 1, 1, EACH)
    second = deciding(many, "Cy", 2, EACH + 1, 2 * EACH)
    said = go(first, second)
    assert not [line for lines in said for line in lines if "refused" in line]
    with Catalogue.open(many) as book:
        assert book.revision == 1 + 2 * EACH
        now = placed(book)
        assert all(now[n] == (1, "confirmed") for n in range(1, EACH + 1))
        assert all(now[n] == (2, "confirmed") for n in range(EACH + 1, 2 * EACH + 1))
        noted = {f"{entry.event.id}" for n in now for entry in book.photo_history(n)}
    assert noted == {line.split()[1] for lines in said for line in lines} | {"1"}
    assert check(many).whole


def test_on_one_photo_exactly_one_wins(many: Path) -> None:
    first, second = deciding(many, "Bo", 1, 1, EACH), deciding(many, "Cy", 2, 1, EACH)
    ours, theirs = go(first, second)
    with Catalogue.open(many) as book:
        assert book.revision == 1 + EACH
        now = placed(book)
    for number, (one, other) in enumerate(zip(ours, theirs, strict=True), 1):
        winner = 2 if "refused" in one else 1
        lost = one if winner == 2 else other
        assert now[number] == (winner, "confirmed")
        assert "changed since you looked, by event" in lost
        assert f"(same, {'Cy' if winner == 2 else 'Bo'}, " in lost
    assert check(many).whole


def test_a_backup_under_load_is_whole(many: Path, tmp_path: Path) -> None:
    child = deciding(many, "Bo", 1, 1, EACH)
    assert child.stdin and child.stdout
    child.stdin.write("\n")
    child.stdin.flush()
    revisions: list[int] = []
    with Catalogue.open(many) as book:
        for number in range(BACKUPS):
            acknowledged = int(child.stdout.readline().split()[1])
            revisions.append(book.backup(tmp_path / f"backup{number}"))
            assert revisions[-1] >= acknowledged
    assert child.communicate() and child.returncode == 0
    for number, revision in enumerate(revisions):
        copy = tmp_path / f"backup{number}"
        assert check(copy).whole
        with Catalogue.open(copy) as book:
            confirmed = [n for n, (_, state) in placed(book).items() if state == "confirmed"]
            assert confirmed == list(range(1, revision))


def test_killed_while_deciding(many: Path) -> None:
    lottery = random.Random(7)
    acknowledged: set[int] = set()
    for _ in range(KILLS):
        child = deciding(many, "Bo", 1, len(acknowledged) + 1, 2 * EACH)
        assert child.stdin and child.stdout
        child.stdin.write("\n")
        child.stdin.flush()
        for _ in range(lottery.randint(1, 4)):
            acknowledged.add(int(child.stdout.readline().split()[0]))
        for _ in range(lottery.randint(0, 50_000)):  # somewhere within the next decision
            pass
        os.kill(child.pid, signal.SIGKILL)
        rest, _ = child.communicate()
        acknowledged |= {int(line.split()[0]) for line in rest.splitlines() if line.count(" ")}
        report = check(many)  # before anyone rolls back
        assert (report.whole, {*report.notes} <= {CUT_OFF}) == (True, True)
        with Catalogue.open(many) as book:
            now = placed(book)
            assert all(now[n] == (1, "confirmed") for n in acknowledged)
            assert book.rebuild() == []
        assert check(many).whole


@pytest.mark.parametrize("moment", range(1, 8))
def test_cut_off_at_each_step(tmp_path: Path, moment: int) -> None:
    """Another process dies after so many of its own writes; the file is as it was before."""
    path = tmp_path / "book"
    with Catalogue.create(path) as book:
        book.add_photos([photo(1, "A"), photo(2)], who="Ann")
    before = query(path, "SELECT * FROM cell")
    script = (
        "import os, sys\nfrom pathlib import Path\nfrom flukeprint.catalogue import *\n"
        "book, left = Catalogue.open(Path(sys.argv[1])), [int(sys.argv[2])]\n"
        "def traced(sql):\n"
        "    if sql.startswith(('INSERT', 'COMMIT')):\n"
        "        left[0] -= 1\n"
        "        if not left[0]: os.kill(os.getpid(), 9)\n"
        "book._link.execute('PRAGMA cache_size = 1')\n"  # so that pages reach the file early
        "book._link.set_trace_callback(traced)\n"
        "book.decide(New(2, 'C'), who='Bo')\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script, str(path), str(moment)],
        env={**os.environ, "PYTHONPATH": str(SOURCE)}, check=False,
    )  # fmt: skip
    assert ran.returncode == -signal.SIGKILL
    report = check(path)
    assert (report.whole, {*report.notes} <= {CUT_OFF}) == (True, True)
    with Catalogue.open(path) as book:
        assert (book.revision, book.find_photo(content(2))) == (1, 2)
        assert query(path, "SELECT * FROM cell") == before
        book.decide(Same(2, 1), who="Bo")
    assert check(path).whole
