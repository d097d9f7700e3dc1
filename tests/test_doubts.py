"""A small catalogue with faults planted, looked over by a model whose answers can be foreseen."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from flukeprint import cli
from flukeprint.catalogue import (
    Catalogue,
    Different,
    Listed,
    Shown,
    Undo,
    bring_in,
    from_files,
    from_table,
)
from flukeprint.doubts import audit_catalogue, cluster_catalogue
from flukeprint.errors import FlukeprintError
from flukeprint.model import Model
from flukeprint.network import Network
from flukeprint.suspicions import TWINS, TWO_NAMES, TWO_WHALES, WRONG_NAME
from flukeprint.tables import read_table
from tests.tiny import Pixels, picture

Paste = Callable[[str], None]
# name, label, whale, and what is laid over its picture so that no two photos are twins
PHOTOS = (
    ("1.png", "A", 1, 101),
    ("2.png", "A", 1, 102),
    ("3.png", "again A", 1, 103),
    ("4.png", "B", 4, 104),
    ("5.png", "B", 4, 105),
    ("6.png", "C", 6, 106),
    ("7.png", "C", 6, 107),
    ("8.png", "C", 4, 108),  # B's, under the wrong name
    ("9.png", "D", 9, 109),
    ("10.png", "D", 9, 110),
)


def shot(whale: int, over: int) -> Pixels:
    """A whale's picture with a quarter of another laid over it."""
    mixed = 0.75 * picture(whale) + 0.25 * picture(over)
    return np.asarray(mixed.round(), dtype=np.uint8)


@pytest.fixture
def network(tiny_model: Model) -> Network:
    return Network(tiny_model)


@pytest.fixture
def book(tmp_path: Path, write_picture: Callable[..., Path]) -> Iterator[Catalogue]:
    for name, _, whale, over in PHOTOS:
        write_picture(tmp_path / name, shot(whale, over))
    rows = "".join(f"{name},{label}\n" for name, label, _, _ in PHOTOS)
    (tmp_path / "sheet.csv").write_text(f"path,identity\n{rows}")
    with Catalogue.create(tmp_path / "book") as made:
        bring_in(made, from_table(read_table(tmp_path / "sheet.csv")), who="Ann")
        yield made


@pytest.fixture
def paste(book: Catalogue, monkeypatch: pytest.MonkeyPatch) -> Paste:
    """Run a command as it was printed."""
    monkeypatch.setenv("FLUKEPRINT_CATALOGUE", str(book.path))
    monkeypatch.setenv("FLUKEPRINT_WHO", "Bo")

    def run(printed: str) -> None:
        monkeypatch.setattr(sys, "argv", shlex.split(printed))
        cli.main()

    return run


def test_planted_faults_come_first(book: Catalogue, network: Network) -> None:
    doubts, failures = audit_catalogue(book, network)
    assert failures == ()
    first = {doubt.kind: doubt for doubt in reversed(doubts)}
    names = book.individuals()
    two = first[TWO_NAMES]
    assert {names[number] for number in two.individuals} == {"A", "again A"}
    alike = two.evidence[0]
    why = (
        f"audit with model {network.model.id[:12]}: same whale, log-odds {two.strength:.1f}; "
        f"photos {alike.photos[0]} and {alike.photos[1]} alike {alike.similarity:.2f}"
    )
    assert two.remedy == ("merge", "--why", why, "--", *(names[n] for n in two.individuals))
    wrong = first[WRONG_NAME]
    assert wrong.photos == (8,)
    assert [names[number] for number in wrong.individuals] == ["C", "B"]
    why = f"audit with model {network.model.id[:12]}: wrong name, log-odds {wrong.strength:.1f}; "
    assert wrong.remedy[:5] == ("decide", "8", "--ranking", "none", "--why")
    assert wrong.remedy[5].startswith(why)
    assert wrong.remedy[6:] == ("--move=B",)
    *begin, why, end, whale = first[TWO_WHALES].remedy
    assert (begin, end, whale) == (["split", "--photos", "8", "--why"], "--", "C")
    assert ": two whales, log-odds " in why
    assert {pair.photos for pair in wrong.evidence} <= {(4, 8), (5, 8), (6, 8), (7, 8)}
    assert TWINS not in first


def test_what_was_said_is_not_doubted_again(book: Catalogue, network: Network) -> None:
    b, again = book.find("B"), book.find("again A")
    said = book.decide(Different(8, b), who="Ann")
    book.decide(Different(1, again), who="Ann")
    doubts, _ = audit_catalogue(book, network)
    assert not [d for d in doubts if d.kind == WRONG_NAME and d.individuals[1:] == (b,)
                and d.photos == (8,)]  # fmt: skip
    assert not [d for d in doubts if d.kind == TWO_NAMES and again in d.individuals
                and book.find("A") in d.individuals]  # fmt: skip
    assert said.event is not None
    book.decide(Undo(said.event), who="Ann")
    doubts, _ = audit_catalogue(book, network)
    assert [d for d in doubts if d.kind == WRONG_NAME and d.photos == (8,)]


def test_twins_under_two_names_are_told(
    book: Catalogue, network: Network, write_picture: Callable[..., Path]
) -> None:
    root = book.root
    write_picture(root / "twin.jpg", shot(4, 104), quality=95)
    (root / "more.csv").write_text("path,identity\ntwin.jpg,D\n")
    bring_in(book, from_table(read_table(root / "more.csv")), who="Ann")
    doubts, _ = audit_catalogue(book, network)
    (twins,) = (doubt for doubt in doubts if doubt.kind == TWINS)
    assert (twins.photos, twins.remedy) == ((4, 11), ())
    assert twins.individuals == (book.find("B"), book.find("D"))
    (dismissal,) = twins.dismissals
    assert (dismissal[:2], dismissal[-1]) == (("decide", "11"), "--different=B")


@pytest.mark.parametrize("kind", [TWO_NAMES, TWO_WHALES, WRONG_NAME, TWINS])
def test_what_is_right_as_it_is_can_be_said(
    book: Catalogue, network: Network, paste: Paste, write_picture: Callable[..., Path], kind: str
) -> None:
    """After the commands that say so it is not suspected again, until they are undone."""
    rows = "path,identity\n"
    for number, whale in enumerate(("D", "C", "B"), 11):
        write_picture(book.root / f"{number}.jpg", shot(4, 104), quality=110 - number)
        rows += f"{number}.jpg,{whale}\n"
    (book.root / "more.csv").write_text(rows)
    bring_in(book, from_table(read_table(book.root / "more.csv")), who="Ann")
    before, _ = audit_catalogue(book, network)
    first = next(doubt for doubt in before if doubt.kind == kind)
    begun = book.revision
    for command in first.dismissals:
        paste(shlex.join(("flukeprint", "catalogue", *command)))
    after, _ = audit_catalogue(book, network)
    was, are = ([(d.kind, d.individuals, d.photos) for d in doubts] for doubts in (before, after))
    this = (first.kind, first.individuals, first.photos)
    assert this in was and set(are) < set(was)
    assert [one for one in are if one[0] == kind] == [
        one for one in was if one[0] == kind and one != this
    ]
    noted = list(range(begun + 1, book.revision + 1))
    verdict = "same" if kind in (TWO_WHALES, WRONG_NAME) else "different"
    assert len(noted) == {TWO_NAMES: 1, TWO_WHALES: 1, WRONG_NAME: 1, TWINS: 3}[kind]
    numbers = {int(text) for command in first.dismissals for text in command if text.isdigit()}
    for event in (book.photo_history(number)[-1].event for number in numbers):
        assert (event.kind, event.ranking) == (verdict, None)
        assert event.why.startswith(f"against audit with model {network.model.id[:12]}: ")
    for number in reversed(noted):
        book.decide(Undo(number), who="Bo")
    assert audit_catalogue(book, network)[0] == before


def test_unidentified_photos_of_one_whale_are_grouped(
    book: Catalogue, network: Network, tmp_path: Path, write_picture: Callable[..., Path]
) -> None:
    shots = ((20, 120), (20, 121), (30, 130), (31, 131))
    paths = [
        write_picture(tmp_path / "new" / f"{whale}-{over}.png", shot(whale, over))
        for whale, over in shots
    ]
    bring_in(book, from_files(paths, {}), who="Ann")
    groups, failures = cluster_catalogue(book, network, least=0.5)
    assert failures == ()
    assert [group.photos for group in groups] == [(11, 12)]
    assert groups[0].evidence[0].photos == (11, 12)
    assert groups[0].probability >= 0.5


def test_labels_that_disagree_are_no_group(
    book: Catalogue, network: Network, tmp_path: Path, write_picture: Callable[..., Path]
) -> None:
    """A person chooses among the labels: a third name would hide what they were."""
    shots = ((20, 120), (20, 121))
    paths = [write_picture(tmp_path / f"{over}.png", shot(whale, over)) for whale, over in shots]
    labels = [Listed(path, label) for path in paths for label in ("Salt", "Pepper")]
    bring_in(book, labels, who="Ann")
    assert len(book.conflicts()) == 2
    assert cluster_catalogue(book, network, least=0.5) == ([], ())


def test_a_catalogue_without_photos_to_group(book: Catalogue, network: Network) -> None:
    assert cluster_catalogue(book, network) == ([], ())


def test_a_classifier_knows_only_its_own(book: Catalogue, network: Network) -> None:
    from dataclasses import replace

    manifest = replace(network.model.manifest, kind="softmax")
    network.model = replace(network.model, manifest=manifest)
    with pytest.raises(FlukeprintError, match="knows only its own whales"):
        audit_catalogue(book, network)


def test_what_a_decision_from_the_audit_rests_on(
    book: Catalogue, network: Network, paste: Paste, write_picture: Callable[..., Path]
) -> None:
    """The log keeps the evidence, and no ranking that was on the screen some other day."""
    paths = [write_picture(book.root / f"new{o}.png", shot(20, o)) for o in (120, 121)]
    bring_in(book, from_files(paths, {}), who="Ann")
    book.keep_rankings("another model", [Shown(n, ((1, 0.5),), 0.5) for n in (8, 11, 12)])
    doubts, _ = audit_catalogue(book, network)
    (group,), _ = cluster_catalogue(book, network, least=0.5)
    first = {doubt.kind: doubt for doubt in reversed(doubts)}
    remedies = [first[kind].remedy for kind in (WRONG_NAME, TWO_NAMES)] + [group.remedy]
    before = book.revision
    for remedy in remedies:
        paste(shlex.join(("flukeprint", "catalogue", *remedy)))
    events = book.photo_history(8)[-1:] + book.individual_history(book.find("A"))[-1:]
    events += book.photo_history(11)[-1:] + book.photo_history(12)[-1:]
    assert [entry.event.kind for entry in events] == ["move", "merge", "new", "same"]
    assert [entry.event.ranking for entry in events] == [None] * 4
    found = [f"audit with model {network.model.id[:12]}: {what}, log-odds "
             for what in ("wrong name", "same whale")]  # fmt: skip
    found += [f"cluster with model {network.model.id[:12]}: same whale 0."] * 2
    for entry, begin in zip(events, found, strict=True):
        assert entry.event.why.startswith(begin)
        assert " alike 0." in entry.event.why
    assert book.revision == before + 4


def test_on_the_command_line(
    book: Catalogue,
    tiny_model: Model,
    tmp_path: Path,
    write_picture: Callable[..., Path],
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    model = next(tmp_path_factory.getbasetemp().glob("model*/tiny.fluke"))
    monkeypatch.setenv("FLUKEPRINT_CACHE", str(book.root / "cache"))

    def run(*arguments: object) -> str:
        more = ("--catalogue", book.path, "--model", model)
        monkeypatch.setattr(sys, "argv", ["flukeprint", "catalogue", *map(str, arguments + more)])
        cli.main()
        return capsys.readouterr().out

    told = [json.loads(line) for line in run("audit", "--most", 1, "--json").splitlines()]
    assert sorted(one["kind"] for one in told) == ["two names", "two whales", "wrong name"]
    assert [one["dismissals"][0][0] for one in told] == ["decide"] * 3
    said = run("audit", "--most", 1)
    lines = [line.partition(": ") for line in said.splitlines() if line.startswith("  if ")]
    remedies = [command for _, _, command in lines]
    commands = [(when.strip(), shlex.split(one)[2]) for when, _, one in lines]
    assert sorted(commands) == [
        *[("if not", "decide")] * 3,
        *[("if so", what) for what in ("decide", "merge", "split")],
    ]
    for remedy in remedies:  # each runs as it is printed
        monkeypatch.setattr(
            sys, "argv", [*shlex.split(remedy)[:3], "--dry-run", *shlex.split(remedy)[3:]]
        )
        cli.main()
        assert capsys.readouterr().out.startswith("would be: ")
    monkeypatch.setenv("FLUKEPRINT_CATALOGUE", str(book.path))
    monkeypatch.setattr(sys, "argv", ["flukeprint", "catalogue", "audit", "--model", str(model)])
    cli.main()
    assert "  if so: flukeprint catalogue decide 8 --ranking none --why 'audit with model " in (
        capsys.readouterr().out
    )
    assert "to look at: 1 " in said
    assert run("cluster").splitlines() == ["0 groups of 0 unidentified photos"]
    shots = ((20, 120), (20, 121))
    paths = [write_picture(tmp_path / "new" / f"{o}.png", shot(w, o)) for w, o in shots]
    bring_in(book, from_files(paths, {}), who="Ann")
    group, remedy, count = run("cluster", "--least", 0.5).splitlines()
    assert group.partition("  ")[2].startswith("photos 11 (")
    begin = f"  if so: flukeprint catalogue decide --catalogue {book.path} 11 12 --ranking none"
    assert remedy.startswith(f"{begin} --why 'cluster with model {tiny_model.id[:12]}: same whale ")
    assert remedy.endswith("' --new")
    assert count == "1 group of 2 unidentified photos"
    lost = write_picture(tmp_path / "new" / "lost.png", shot(30, 130))
    bring_in(book, from_files([lost], {}), who="Ann")
    lost.unlink()
    with pytest.raises(SystemExit) as stop:
        run("cluster")
    assert stop.value.code == 1
    assert "lost.png: is not there" in capsys.readouterr().err
