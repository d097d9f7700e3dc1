"""What is noted is never changed, and a change behind the catalogue's back is noticed."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing

import numpy as np
import pytest

from flukeprint.catalogue import Catalogue, Merge, New, Same, Shown, Undo, check
from flukeprint.catalogue.log import COLUMNS, FIRST_SEAL, seal_of
from flukeprint.catalogue.schema import LOGGED
from flukeprint.catalogue.store import connect
from flukeprint.records import Embeddings
from tests.catalogue.small import cells, content, photo, query
from tests.tiny import seen


@pytest.fixture
def full(book: Catalogue) -> Catalogue:
    """With a row in every table."""
    book.keep_looks("model", {content(4): seen()})
    vectors = np.eye(1, 4, dtype=np.float32)
    book.keep_embeddings(Embeddings(vectors, (content(4),), "model"))
    (shown,) = book.keep_rankings("model", [Shown(4, ((2, 0.5),), 0.5)])
    book.decide(Same(4, 2), who="Bo", ranking=shown)
    return book


@pytest.mark.parametrize("table", LOGGED)
def test_nothing_noted_can_be_changed(full: Catalogue, table: str) -> None:
    for sql in (f"UPDATE {table} SET id = id + 100", f"DELETE FROM {table}"):
        with pytest.raises(sqlite3.IntegrityError, match=f"never changes what it noted: {table}"):
            query(full.path, sql)
    assert check(full.path).whole


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("UPDATE event SET who = 'Cy' WHERE id = 2", "event 2 is not as it was written"),
        ("UPDATE effect SET after = 1 WHERE after = 2 AND event = 2", "event 2 is not as it was"),
        ("DELETE FROM effect WHERE event = 2 AND field = 'state'", "event 2 is not as it was wri"),
        ("UPDATE photo SET size_bytes = 7 WHERE id = 3", "event 1 is not as it was written"),
        ("UPDATE file SET path = 'x' WHERE id = 3", "event 1 is not as it was written"),
        ("UPDATE ranking SET new = 0.25", "event 2 is not as it was written"),
        ("DELETE FROM event WHERE id = 1", "events 1 to 1 are missing"),
    ],
)
def test_a_change_with_the_rules_removed_is_noticed(
    full: Catalogue, change: str, said: str
) -> None:
    table = next(word for word in change.split() if word in LOGGED)
    rules = query(
        full.path,
        f"SELECT name, sql FROM sqlite_master WHERE name LIKE '{table}_never%' ORDER BY 1",
    )
    for name, _ in rules:
        query(full.path, f"DROP TRIGGER {name}")
    problems = check(full.path).problems
    assert problems == tuple(
        f"the trigger {name} is not as flukeprint made it" for name, _ in rules
    )
    query(full.path, change)
    for _, sql in rules:
        query(full.path, sql)
    assert any(said in problem for problem in check(full.path).problems)


def test_a_seal_forged_to_fit_is_noticed_by_the_next_event(full: Catalogue) -> None:
    query(full.path, "DROP TRIGGER event_never_update")
    query(full.path, "UPDATE event SET who = 'Cy' WHERE id = 1")
    (row,) = query(full.path, f"SELECT {COLUMNS} FROM event WHERE id = 1")
    with closing(connect(full.path)) as link:
        forged = seal_of(link, FIRST_SEAL, row[:-1])
    query(full.path, f"UPDATE event SET seal = x'{forged.hex()}' WHERE id = 1")
    problems = check(full.path).problems
    assert "event 2 is not as it was written" in problems
    assert "event 1 is not as it was written" not in problems


def test_rebuild_puts_the_state_right_and_says_what_differed(full: Catalogue) -> None:
    before = cells(full.path)
    assert full.rebuild() == []
    query(full.path, "UPDATE cell SET value = 1 WHERE field = 'individual' AND subject = 4")
    query(full.path, "DELETE FROM cell WHERE field = 'state' AND subject = 1")
    query(full.path, "INSERT INTO cell VALUES ('p', 5, 'label', 1, 1, 2)")
    lines = [
        "photo 1, state: 'imported' by the log, but not kept",
        "photo 4, individual: 2 (event 2) by the log, 1 (event 2) kept",
        "photo 5, label 1: 1 kept, not by the log",
    ]
    assert check(full.path).problems == (
        *(f"the state is not what the log gives: {line}" for line in lines),
        "photo 1 is of individual 1, but has no state",
    )
    assert full.rebuild() == lines
    assert cells(full.path) == before
    assert check(full.path).whole


QUESTIONS: dict[str, Callable[[Catalogue], object]] = {
    "photo": lambda book: book.photo(4),
    "individual": lambda book: book.individual(1),
    "photo history": lambda book: book.photo_history(4),
    "individual history": lambda book: book.individual_history(1),
    "history of a verdict": lambda book: (
        book.decide(Undo(2), who="Bo"),
        book.individual_history(2),
    ),
    "once called": lambda book: book.once_called("C"),
    "find": lambda book: book.find("A"),
    "find photo": lambda book: book.find_photo(content(4)),
    "conflicts": lambda book: book.conflicts(),
    "ranking": lambda book: book.ranking(1),
    "same": lambda book: book.decide(Same(5, 1), who="Bo", seen=1),
    "new": lambda book: book.decide(New(5, "C"), who="Bo", seen=1),
    "merge": lambda book: book.decide(Merge(1, 2), who="Bo"),
    "undo": lambda book: book.decide(Undo(2), who="Bo"),
    "import": lambda book: book.add_photos([photo(4, "A"), photo(6, "B")], who="Ann"),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_no_question_reads_a_whole_table(full: Catalogue, question: str) -> None:
    asked: list[str] = []
    full._link.set_trace_callback(asked.append)
    QUESTIONS[question](full)
    full._link.set_trace_callback(None)
    asked = [sql for sql in asked if sql.startswith(("SELECT", "INSERT", "DELETE"))]
    assert asked
    for sql in asked:
        plan = [row[3] for row in query(full.path, f"EXPLAIN QUERY PLAN {sql}")]
        assert not [step for step in plan if step.startswith("SCAN") and "CONSTANT" not in step], (
            sql
        )
