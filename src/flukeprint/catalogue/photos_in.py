"""Photos come in: known again by their content, wherever they lie, labels and facts with them.

A photo is its bytes. A file and its identical copy are one photo with two files; a file that moved
is found again. Labels that disagree put the photo in conflict, which a person settles; they never
overrule what a person decided. So a label names a photo only where no verdict in force is about
whom it shows: else a known one says nothing new, and a new one waits for a person. A date that says
more than an import before did, and agrees, takes its place. Where files lie is an observation and
no decision, so undoing an import takes back what it said of whales and facts, and leaves the photos
known.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import astuple, dataclass, field, fields
from operator import attrgetter
from pathlib import Path

import flukeprint.catalogue.state as state
from flukeprint.catalogue.draft import Draft, checked_name, last_number
from flukeprint.catalogue.facts import checked_fact
from flukeprint.catalogue.log import Key, read_event
from flukeprint.catalogue.state import (
    CONFIRMED,
    CONFLICT,
    FACTS,
    IMPORTED,
    NO_WHALE,
    UNNAMED,
    UNSURE,
)
from flukeprint.errors import FlukeprintError
from flukeprint.exif import NO_DETAILS, Details
from flukeprint.records import NEW_WHALE, label_of
from flukeprint.wording import plural

# What ``dataclasses.astuple`` gives, too, only after copying each value at length.
_columns_of = attrgetter(*(column.name for column in fields(Details)))


@dataclass(frozen=True, slots=True)
class Incoming:
    """A photo's file and what its owner says of it.

    ``path`` is relative to the catalogue's root, with forward slashes; ``mtime_ns`` is the file's
    time, nanoseconds since 1970. ``details`` are what the bytes themselves tell. ``label`` is an
    individual's name; ``new_whale`` says that it has none, and empty says nothing. ``latitude`` and
    ``longitude`` are decimal degrees.
    """

    sha256: str
    path: str
    size_bytes: int
    mtime_ns: int | None = None
    details: Details = NO_DETAILS
    label: str = ""
    date: str = ""
    place: str = ""
    latitude: str = ""
    longitude: str = ""
    photographer: str = ""
    encounter: str = ""


@dataclass(frozen=True, slots=True)
class Arrived:
    """How much an import brought; ``moved`` photos lay elsewhere, ``known`` files lay there before.

    ``described`` photos, new or known, got facts that they did not have; ``named`` photos were
    known and unidentified until a label named them. ``conflicts`` holds a line for each label or
    fact that disagrees with what was known. ``replaced`` are photos, by number and path, in whose
    place another picture lies now, and of which no other file is known.
    """

    photos: int = 0
    files: int = 0
    moved: int = 0
    individuals: int = 0
    known: int = 0
    described: int = 0
    named: int = 0
    conflicts: tuple[str, ...] = ()
    replaced: tuple[tuple[int, str], ...] = ()

    def and_then(self, more: Arrived) -> Arrived:
        """This and what came after it."""
        return Arrived(
            *(mine + its for mine, its in zip(astuple(self), astuple(more), strict=True))
        )

    def __str__(self) -> str:
        counted = (
            plural(self.photos, "photo"),
            plural(self.files, "file"),
            f"{plural(self.moved, 'photo')} found again elsewhere",
            plural(self.individuals, "individual"),
        )
        return "new: " + ", ".join(counted)


@dataclass(frozen=True, slots=True)
class Import:
    """What an import did; ``event`` is None where nothing was noted. See :class:`Outcome`."""

    event: int | None
    revision: int
    arrived: Arrived


@dataclass(slots=True)
class Arrivals:
    """What an import would note beside its effects."""

    photos: list[tuple[object, ...]] = field(default_factory=list)
    files: list[tuple[object, ...]] = field(default_factory=list)
    conflicts: list[str] = field(default_factory=list)
    described: set[int] = field(default_factory=set)
    named: set[int] = field(default_factory=set)
    replaced: dict[int, str] = field(default_factory=dict)
    moved: int = 0
    known: int = 0

    def count(self, individuals: int) -> Arrived:
        """How much that is."""
        files = sum(row[1] is not None for row in self.files)
        found = (len(self.photos), files, self.moved, individuals, self.known)
        told = (len(self.described), len(self.named), tuple(self.conflicts))
        replaced = tuple(self.replaced.items())
        return Arrived(*found, *told, replaced)


class Importing:
    """Plans an import, one file after another, over a draft."""

    def __init__(self, draft: Draft, root: Path) -> None:
        self.draft, self.root = draft, root
        self.arrivals = Arrivals()
        self._last = last_number(draft.link, "photo")
        self._first = draft.first_photo = self._last + 1
        self._numbers: dict[str, int] = {}
        self._places: dict[str, int | None] = {}
        self._names: dict[str, int] = {}

    def take(self, incoming: Iterable[Incoming]) -> Arrivals:
        """Plan all of these.

        Raises:
            FlukeprintError: a path does not lie under the root, or a text cannot be kept.
        """
        for one in incoming:
            try:
                photo = self._photo(one)
                self._file(one, photo)
                self._label(one, photo)
                for fact in FACTS:
                    self._fact(one, photo, fact, getattr(one, fact))
            except FlukeprintError as error:
                raise FlukeprintError(f"{one.path}: {error}") from None
        replaced = self.arrivals.replaced
        for number in [number for number in replaced if self._lies_somewhere(number)]:
            del replaced[number]
        named = self.arrivals.named
        # Another label, new_whale too, puts a photo in conflict: that is told by itself.
        named -= {one for one in named if self.draft.get("p", one, "state") != IMPORTED}
        return self.arrivals

    def _photo(self, one: Incoming) -> int:
        number = self._numbers.get(one.sha256)
        if number is None:
            number = state.photo_number(self.draft.link, one.sha256)
        if number is None:
            number = self._last = self._last + 1
            self.arrivals.photos.append(
                (
                    *(number, bytes.fromhex(one.sha256), one.size_bytes),
                    *(*_columns_of(one.details), self.draft.number),
                )
            )
        self._numbers[one.sha256] = number
        return number

    def _file(self, one: Incoming, photo: int) -> None:
        plain = _is_plain(one.path) or one.path == path_from(self.root, self.root / one.path)
        if not plain or "\0" in one.path:
            raise FlukeprintError("not a path from the catalogue's root")
        try:
            one.path.encode()
        except UnicodeEncodeError:
            raise FlukeprintError("its name is not valid Unicode; rename the file") from None
        if self._at(one.path) == photo:
            self.arrivals.known += 1
            return
        lay = state.paths_of(self.draft.link, photo) if photo < self._first else []
        known = [path for path in lay if path != one.path]
        gone = [
            path
            for path in known
            if self._at(path) == photo and not os.path.lexists(self.root / path)
        ]
        for path in gone:
            self._lies(path, None, None)
        self.arrivals.moved += bool(gone)
        before = self._at(one.path)
        if before is not None:
            self.arrivals.replaced[before] = one.path
        self._lies(one.path, photo, one.mtime_ns)

    def _lies_somewhere(self, photo: int) -> bool:
        known = [*state.paths_of(self.draft.link, photo), *self._places]
        return any(self._at(path) == photo for path in known)

    def _at(self, path: str) -> int | None:
        """Which photo lies at a path, as far as known."""
        if path not in self._places:
            self._places[path] = state.photo_at(self.draft.link, path)
        return self._places[path]

    def _lies(self, path: str, photo: int | None, mtime_ns: int | None) -> None:
        self._places[path] = photo
        self.arrivals.files.append((path, photo, mtime_ns, self.draft.number))

    def _label(self, one: Incoming, photo: int) -> None:
        if not one.label.strip():
            return
        known = state.holders(self.draft.link, checked_name(one.label))
        if label_of(one.label) == NEW_WHALE and not known:  # earlier versions took it for a name
            self._unnamed(one, photo)
            return
        draft, individual = self.draft, self._individual(checked_name(one.label))
        now, where = draft.get("p", photo, "individual"), draft.get("p", photo, "state")
        denied = self._denied(photo)
        if draft.get("p", photo, "label", individual) is not None and (
            # A label that came while a person's word stood, which was taken back, counts now.
            now is not None or where is not None or denied
        ):
            return
        draft.set(1, "p", photo, "label", individual)
        if where == NO_WHALE:  # a person's word stands, but no list would show that labels differ
            self._differs(one, photo, f"labelled {draft.name(individual)}", "said to show no whale")
        if now == individual or where in (UNSURE, NO_WHALE) or (where == CONFLICT and now is None):
            return
        if where is None and not denied:
            draft.set(individual, "p", photo, "individual")
            draft.set(IMPORTED, "p", photo, "state")
            if photo < self._first:
                self.arrivals.named.add(photo)
            if draft.get("p", photo, UNNAMED) is not None:
                self._contradicted(one, photo, f"labelled {draft.name(individual)}", NEW_WHALE)
            return
        if where != CONFIRMED and not self._was_confirmed(photo):
            # what a person decided stays until a person changes it
            draft.set(None, "p", photo, "individual")
        others = " or ".join(draft.name(other) for other in denied)
        said = "that one" if individual in denied else others
        before = draft.name(now) if isinstance(now, int) else f"said not to be {said}"
        self._contradicted(one, photo, f"labelled {draft.name(individual)}", before)

    def _denied(self, photo: int) -> list[int]:
        """Whom a person said the photo is not: the verdicts in force on one that is undecided."""
        if photo >= self._first:
            return []
        said = state.items(self.draft.link, "p", photo, "not")
        return [individual for individual in said if isinstance(individual, int)]

    def _was_confirmed(self, photo: int) -> bool:
        """Whether a person had decided before labels put the photo in conflict."""
        key = Key("p", photo, "state")
        owner = self.draft.held(key).owner
        if owner == self.draft.number:
            return state.held(self.draft.link, key).value == CONFIRMED
        row = self.draft.link.execute(
            "SELECT before FROM effect"
            " WHERE event = ? AND kind = ? AND subject = ? AND +field = ? AND item = ?",
            (owner, *key),
        ).fetchone()
        return row is not None and row[0] == CONFIRMED

    def _unnamed(self, one: Incoming, photo: int) -> None:
        """Nobody named the whale: noted; a photo that a label placed stays there, in conflict."""
        draft = self.draft
        if draft.get("p", photo, UNNAMED) is not None:
            return
        draft.set(1, "p", photo, UNNAMED)
        now = draft.get("p", photo, "individual")
        if draft.get("p", photo, "state") == IMPORTED and isinstance(now, int):
            self._contradicted(one, photo, f"labelled {NEW_WHALE}", draft.name(now))

    def _contradicted(self, one: Incoming, photo: int, label: str, before: str) -> None:
        self.draft.set(CONFLICT, "p", photo, "state")
        self._differs(one, photo, label, before)

    def _differs(self, one: Incoming, photo: int, label: str, before: str) -> None:
        self.arrivals.conflicts.append(f"photo {photo} ({one.path}): {label}, before {before}")

    def _individual(self, name: str) -> int:
        if name not in self._names:
            found = state.holders(self.draft.link, name)
            self._names[name] = found[0][0] if found else self.draft.new_individual(name)
        return self._names[name]

    def _fact(self, one: Incoming, photo: int, fact: str, value: str) -> None:
        if not value.strip():
            return
        value = checked_fact(fact, value)
        known = self.draft.get("p", photo, fact)
        if known is None:
            self._describe(photo, fact, value)
        elif known == value or self.draft.get("p", photo, f"other {fact}", value) is not None:
            return
        elif fact == "date" and str(known).startswith(value):
            return  # says the same and less of it, as dates are kept in ISO 8601
        elif fact == "date" and value.startswith(str(known)) and self._was_imported(photo, fact):
            self._describe(photo, fact, value)
            # Said again once a person took another date, it is nothing new.
            self.draft.set("settled", "p", photo, f"other {fact}", known)
        else:
            self.draft.set("open", "p", photo, f"other {fact}", value)
            self._differs(one, photo, f"{fact} {value}", str(known))

    def _describe(self, photo: int, fact: str, value: str) -> None:
        self.draft.set(value, "p", photo, fact)
        self.arrivals.described.add(photo)

    def _was_imported(self, photo: int, fact: str) -> bool:
        """Whether a fact stands by an import; a person may know why a date says no more."""
        owner = self.draft.held(Key("p", photo, fact)).owner
        event = read_event(self.draft.link, owner)
        return owner == self.draft.number or (event is not None and event.kind == "import")


def _is_plain(path: str) -> bool:
    """Whether a path says just which file below the root, so that it has only one spelling."""
    return "\\" not in path and not {"", ".", ".."} & {*path.split("/")}


def path_from(root: Path, path: Path) -> str:
    """A file's path as a catalogue whose photos lie under ``root`` keeps it.

    Relative even where the file lies outside, so that a folder that holds both can be moved. A
    folder may be spelled in two ways, ``/tmp`` and ``/private/tmp``: what lies inside by either
    spelling lies inside.
    """
    place, home = os.path.abspath(path), os.path.abspath(root)
    try:
        inside = os.path.relpath(place, home)
        if inside.startswith(os.pardir):
            folder, name = os.path.split(place)
            real = os.path.join(os.path.realpath(folder), name)
            found = os.path.relpath(real, os.path.realpath(home))
            inside = inside if found.startswith(os.pardir) else found
        return Path(inside).as_posix()
    except ValueError:  # another drive
        return Path(place).as_posix()
