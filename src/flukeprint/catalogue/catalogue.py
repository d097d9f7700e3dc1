"""A catalogue in use: opened, decided in, asked."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import flukeprint.catalogue.evidence as evidence
import flukeprint.catalogue.history as history
import flukeprint.catalogue.past as past
import flukeprint.catalogue.state as state
from flukeprint.catalogue.backup import BACKUP, BACKUPS, copy_whole, keep_backup
from flukeprint.catalogue.check import inspect
from flukeprint.catalogue.deciding import decide, take_in
from flukeprint.catalogue.draft import Decision, Outcome
from flukeprint.catalogue.log import revision
from flukeprint.catalogue.photos_in import Import, Incoming, path_from
from flukeprint.catalogue.schema import MIGRATIONS, Migration
from flukeprint.catalogue.store import (
    BUSY_S,
    HINT,
    connect,
    fresh_file,
    migrate,
    read_header,
    transaction,
    upgraded_copy,
)
from flukeprint.errors import FlukeprintError
from flukeprint.records import Embeddings, Look


class Catalogue:
    """One catalogue file. Use :meth:`create` or :meth:`open`, and close it or use ``with``.

    Photos, individuals, events and rankings are named by their numbers. Whatever cannot be done is
    a FlukeprintError, and then nothing was written. Not to be shared between threads.
    """

    def __init__(
        self,
        link: sqlite3.Connection,
        path: Path,
        root: Path,
        migrations: tuple[Migration, ...] = MIGRATIONS,
    ) -> None:
        self._link, self.path, self.root = link, path, root
        self._migrations = migrations
        self._inside = False  # a transaction that :meth:`together` began

    @classmethod
    def create(cls, path: Path, *, root: Path | None = None) -> Self:
        """Make a new, empty catalogue and open it; ``root``, else its folder, holds the photos.

        Raises:
            FlukeprintError: something is there already, it cannot be written, or there is no
                folder ``root``.
        """
        _check_folder(root)
        home = os.path.abspath(path.parent)
        place = _relative(home if root is None else os.path.abspath(root), home)
        with fresh_file(path) as temporary:
            link = connect(temporary)
            try:
                migrate(link, temporary, MIGRATIONS)
                with transaction(link, path, write=True):
                    link.execute("INSERT INTO meta VALUES ('root', ?)", (Path(place).as_posix(),))
            finally:
                link.close()
        return cls.open(path)

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        root: Path | None = None,
        read_only: bool = False,
        busy_s: float = BUSY_S,
        migrations: tuple[Migration, ...] = MIGRATIONS,
    ) -> Self:
        """Open a catalogue; one of an older version is upgraded after making a copy beside it.

        Of one to be read only, what is upgraded is a copy in memory.

        ``root`` is where the photos lie now, if not where they lay when the catalogue was made.
        ``busy_s`` is how many seconds to wait for others' decisions.

        Raises:
            FlukeprintError: it is missing, damaged, another program's, or of a newer version.
        """
        _check_folder(root)
        version = read_header(path, len(migrations))
        link = connect(path, read_only=read_only, busy_s=busy_s)
        try:
            if version < len(migrations) and read_only:
                with closing(link) as older:
                    link = upgraded_copy(older, path, migrations)
            elif version < len(migrations):
                copy = path.with_name(f"{path.name}.v{version}.r{_revision(link, path)}{BACKUP}")
                if not copy.exists():
                    copy_whole(link, copy, migrations[:version])
                migrate(link, path, migrations)
            with transaction(link, path, write=False):
                place = link.execute("SELECT value FROM meta WHERE key = 'root'").fetchone()
            # The photos lie beside the file itself, wherever a link to it lies.
            home = Path(os.path.realpath(path) if path.is_symlink() else os.path.abspath(path))
            folder = home.parent
            if home.suffix == BACKUP and folder.suffix == BACKUPS:  # of the file beside that folder
                folder = folder.parent
            found = root or Path(os.path.normpath(folder / (place or ".")[0]))
        except BaseException:
            link.close()
            raise
        return cls(link, path, found, migrations)

    def close(self) -> None:
        """Close the file."""
        self._link.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def revision(self) -> int:
        """The number of the last event: what someone who looks now has seen."""
        with self._reading() as link:
            return revision(link)

    def decide(
        self,
        decision: Decision,
        *,
        who: str,
        why: str = "",
        seen: int | None = None,
        ranking: int | None = None,
        dry_run: bool = False,
    ) -> Outcome:
        """Note a decision and say exactly what it changed; ``dry_run`` says it and notes nothing.

        ``seen`` is the :attr:`revision` its maker looked at, None for the present one. ``ranking``
        is the one on the screen.

        Raises:
            FlukeprintError: it changes nothing, cannot be, or rests on what others have changed
                since; the message says by which event.
        """
        with self._using(write=not dry_run) as link:
            return decide(
                link, decision, who=who, why=why, seen=seen, ranking=ranking, dry_run=dry_run
            )

    @contextmanager
    def together(self) -> Iterator[None]:
        """All decisions inside are noted, or none where one is refused; others wait meanwhile."""
        with self._writing():
            before, self._inside = self._inside, True
            try:
                yield
            finally:
                self._inside = before

    def add_photos(
        self, incoming: Iterable[Incoming], *, who: str, why: str = "", dry_run: bool = False
    ) -> Import:
        """Import photos' files with what their owner says of them, as one event.

        Importing again what is known changes nothing and is no event. See :class:`Incoming`.
        """
        with self._using(write=not dry_run) as link:
            return take_in(link, self.root, incoming, who=who, why=why, dry_run=dry_run)

    def keep_looks(self, model_id: str, looks: Mapping[str, Look]) -> int:
        """Note what a model saw, by photo SHA-256; returns how many were new."""
        with self._writing() as link:
            return evidence.keep_looks(link, model_id, looks)

    def keep_embeddings(self, embeddings: Embeddings, *, half: bool = False) -> int:
        """Note embeddings, as float16 if ``half``; returns how many were new."""
        with self._writing() as link:
            return evidence.keep_embeddings(link, embeddings, half=half)

    def keep_rankings(
        self, model_id: str, shown: Sequence[evidence.Shown], *, seen: int | None = None
    ) -> list[int]:
        """Note rankings as they are shown; their numbers, by which decisions cite them.

        ``seen`` is the :attr:`revision` that the photos were compared with, None for the present
        one.
        """
        with self._writing() as link:
            last = revision(link) if seen is None else seen
            return [
                evidence.keep_ranking(link, one.photo, model_id, one.candidates, one.new, last)
                for one in shown
            ]

    def look(self, photo: int, model_id: str) -> Look | None:
        """What a model saw in a photo, None where it never looked."""
        with self._reading() as link:
            return evidence.read_look(link, photo, model_id)

    def embeddings(self, model_id: str) -> Embeddings:
        """All embeddings by one model, (N, D) float32, in the order of photo numbers."""
        with self._reading() as link:
            return evidence.read_embeddings(link, model_id)

    def last_ranking(self, photo: int) -> int | None:
        """The number of the ranking last shown for a photo."""
        with self._reading() as link:
            return evidence.last_ranking(link, photo)

    def ranking(self, number: int) -> evidence.Ranking | None:
        """A ranking as it was shown; None where there is none, as after a rescue."""
        with self._reading() as link:
            return evidence.find_ranking(link, number)

    def match_probabilities(self) -> dict[int, float]:
        """What the ranking on the screen gave to whom a photo was decided to be, by photo."""
        with self._reading() as link:
            return evidence.match_probabilities(link)

    def present(self) -> history.Present:
        """The revision, all photos and the names of all individuals there are, of one moment."""
        with self._reading() as link:
            photos, names = list(history.photos_now(link)), history.individuals_now(link)
            return history.Present(revision(link), photos, names)

    def moment(self) -> tuple[list[history.PhotoNow], dict[int, str], dict[int, float]]:
        """Photos, individuals' names and match probabilities, all of one moment, to export."""
        with self._reading() as link:
            return (
                list(history.photos_now(link)),
                history.individuals_now(link),
                evidence.match_probabilities(link),
            )

    def find_photo(self, sha256: str) -> int | None:
        """The number of the photo with this content."""
        with self._reading() as link:
            return state.photo_number(link, sha256)

    def photo_at(self, path: Path) -> int | None:
        """The number of the photo that lay at a path when it was imported, moved since or not."""
        with self._reading() as link:
            return state.photo_once_at(link, path_from(self.root, path))

    def find(self, name: str) -> int:
        """The number of the individual that goes by this name or alias."""
        with self._reading() as link:
            return state.find(link, name)

    def once_called(self, name: str) -> int | None:
        """The number of the individual that was undone and had this name last."""
        with self._reading() as link:
            return state.once_called(link, name)

    def photo(self, number: int) -> history.PhotoNow:
        """A photo at present."""
        with self._reading() as link:
            return history.photo_now(link, number)

    def photos(self) -> list[history.PhotoNow]:
        """All photos at present, in number order."""
        with self._reading() as link:
            return list(history.photos_now(link))

    def files(self) -> dict[str, state.KnownFile]:
        """What lay where when photos were last imported, by path."""
        with self._reading() as link:
            return state.files(link)

    def individual(self, number: int) -> history.IndividualNow:
        """An individual at present, also one that was merged or undone."""
        with self._reading() as link:
            return history.individual_now(link, number)

    def individuals(self) -> dict[int, str]:
        """The names of all individuals there are, by number."""
        with self._reading() as link:
            return history.individuals_now(link)

    def all_names(self) -> dict[int, str]:
        """The names of all individuals there ever were, by number; also of those merged away."""
        with self._reading() as link:
            return history.all_names(link)

    def photo_history(self, number: int) -> list[past.Entry]:
        """Every event by which a photo or a file of it came, or that changed something about it."""
        with self._reading() as link:
            return past.photo_history(link, number)

    def individual_history(self, number: int) -> list[past.Entry]:
        """Every event that changed an individual, by which a photo came or left, or that named it.

        So, too, of those that were merged into it.
        """
        with self._reading() as link:
            return past.individual_history(link, number)

    def conflicts(self) -> list[int]:
        """The photos whose labels or facts disagree and wait for a person."""
        with self._reading() as link:
            return history.conflicts(link)

    def counts(self) -> history.Counts:
        """How much there is of all."""
        with self._reading() as link:
            return history.counts(link)

    def rebuild(self) -> list[str]:
        """Derive the present state from the log again; a line for each cell that differed."""
        with self._writing() as link:
            return state.rebuild(link)

    def backup(self, path: Path) -> int:
        """Copy the catalogue, whole and checked, to a file that is not there yet; its revision.

        Raises:
            FlukeprintError: the copy cannot be written or is not whole, or it is asked for inside
                :meth:`together`.
        """
        self._refuse_inside()
        return copy_whole(self._link, path, self._migrations)

    def keep_backup(self, folder: Path | None = None, *, every: int = 1) -> Path | None:
        """Back up to a folder, ``NAME.backups`` beside the catalogue if None; the last ten stay.

        None where fewer than ``every`` events came since the last one that is kept there; where
        that is 1, where nothing at all came, rankings and what else models said included.

        Raises:
            FlukeprintError: as :meth:`backup` does.
        """
        self._refuse_inside()
        path = Path(os.path.realpath(self.path)) if self.path.is_symlink() else self.path
        place = folder or path.with_name(f"{path.name}{BACKUPS}")
        return keep_backup(self._link, path, place, self._migrations, every)

    def _refuse_inside(self) -> None:
        if self._inside:
            raise FlukeprintError(
                f"{self.path}: its decisions are not noted yet; back up before together() or "
                "after it"
            )

    def _reading(self) -> AbstractContextManager[sqlite3.Connection]:
        return self._using(write=False)

    def _writing(self) -> AbstractContextManager[sqlite3.Connection]:
        return self._using(write=True)

    @contextmanager
    def _using(self, *, write: bool) -> Iterator[sqlite3.Connection]:
        if self._inside:
            yield self._link
            return
        try:
            with transaction(self._link, self.path, write=write):
                yield self._link
        except (ValueError, TypeError, LookupError, AttributeError, AssertionError) as error:
            if inspect(self._link, self._migrations):  # damaged values trip code; so do mistakes
                raise FlukeprintError(f"{self.path}: damaged; {HINT}") from error
            raise


def _check_folder(root: Path | None) -> None:
    if root is not None and not root.is_dir():
        raise FlukeprintError(f"{root}: no such folder; name the one where the photos lie")


def _relative(root: str, home: str) -> str:
    """Where the photos lie from the catalogue's folder, so that both can move together."""
    try:
        return os.path.relpath(root, home)
    except ValueError:  # another drive
        return root


def _revision(link: sqlite3.Connection, path: Path) -> int:
    with transaction(link, path, write=False):
        return revision(link)
