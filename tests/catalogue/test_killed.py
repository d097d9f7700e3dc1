"""Processes killed at any moment: what they acknowledged is there, and the job can be finished."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from flukeprint.catalogue import check
from flukeprint.catalogue.salvage import CUT_OFF
from tests.catalogue.jobs import JOBS, draw, prepare, run
from tests.catalogue.small import Rows, query

KILLS = 44 if "FLUKEPRINT_SLOW" in os.environ else 4  # of each job
HERE = Path(__file__).resolve().parents[2]
SHOWN = {
    "event": "id, who, why, kind, details, ranking, undoes",
    "effect": "*",
    "cell": "*",
    "photo": "*",
    "file": "*",
    "individual": "*",
    "meta": "*",
}


def dump(path: Path) -> dict[str, Rows]:
    """All that is in a catalogue but times and seals."""
    return {
        table: query(path, f"SELECT {columns} FROM {table} ORDER BY 1, 2")
        if table != "cell"
        else query(path, f"SELECT {columns} FROM {table} ORDER BY 1, 2, 3, 4")
        for table, columns in SHOWN.items()
    }


def start(job: str, folder: Path) -> subprocess.Popen[str]:
    """A child that is about to do the job."""
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.catalogue.jobs", job, str(folder)],
        env={**os.environ, "PYTHONPATH": f"{HERE / 'src'}{os.pathsep}{HERE}"},
        cwd=HERE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert child.stdout and child.stdout.readline() == "go\n"
    return child


@pytest.mark.parametrize("job", JOBS)
def test_killed_at_any_moment(job: str, tmp_path: Path) -> None:
    draw(tmp_path / "photos")
    prepare(tmp_path / "never", job)
    child, began = start(job, tmp_path / "never"), time.monotonic()
    said = child.communicate()[0].splitlines()
    length = time.monotonic() - began
    assert (child.returncode, said[-1]) == (0, "done")
    wanted = dump(tmp_path / "never" / "book")
    events = len(said) - 1
    assert events == len(wanted["event"]) - (job != "import") > 6

    lottery, fates = random.Random(f"{job} 1"), Counter[str]()
    for number in range(KILLS):
        folder = tmp_path / f"killed{number}"
        prepare(folder, job)
        child = start(job, folder)
        # So many events in, and then somewhere within the next one, however busy the machine is.
        into = lottery.uniform(number, number + 1) / KILLS * events
        assert child.stdout
        lines = [child.stdout.readline().strip() for _ in range(int(into))]
        time.sleep(into % 1 * length / events)
        os.kill(child.pid, signal.SIGKILL)
        lines += child.communicate()[0].splitlines()
        fates["finished before" if lines[-1:] == ["done"] else "killed"] += 1

        report = check(folder / "book")  # before anyone rolls back
        assert (report.whole, {*report.notes} <= {CUT_OFF}) == (True, True)
        fates["cut off inside a decision"] += bool(report.notes)
        noted = dict(line.split() for line in lines if line != "done")
        seals = query(folder / "book", "SELECT id, hex(seal) FROM event")
        assert noted.items() <= {(str(event), seal) for event, seal in seals}
        fates["acknowledged"] += len(noted)
        fates["noted, not acknowledged"] += len(seals) - (job != "import") - len(noted)

        run(job, folder, lambda event: None)
        assert check(folder / "book").whole
        assert dump(folder / "book") == wanted
        for backup in folder.glob("book.backups/*.backup"):
            assert check(backup).whole
            assert query(backup, "SELECT max(id) FROM event") == [
                (int(backup.name.split(".")[1].removeprefix("r")),)
            ]
    print(f"{job}, {length:.2f} s, {events} events: {dict(sorted(fates.items()))}")
