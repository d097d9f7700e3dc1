"""Plan a decision, tell exactly what it changes, and note it, all in the caller's transaction."""

from __future__ import annotations

import dataclasses
import json
import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path

import flukeprint.catalogue.evidence as evidence
from flukeprint.catalogue.draft import Decision, Draft, Outcome, checked_name
from flukeprint.catalogue.log import append
from flukeprint.catalogue.photos_in import Import, Importing, Incoming
from flukeprint.catalogue.words import lines
from flukeprint.errors import FlukeprintError


def decide(
    link: sqlite3.Connection,
    decision: Decision,
    *,
    who: str,
    why: str,
    seen: int | None,
    ranking: int | None,
    dry_run: bool,
) -> Outcome:
    """Note one decision. See :meth:`Catalogue.decide`."""
    who = _checked_who(who)
    draft = Draft(link, seen)
    decision.plan(draft)
    if not draft.effects:
        raise FlukeprintError(f"{decision.kind}: that is so already; nothing to change")
    if ranking is not None:
        shown, about = evidence.read_ranking(link, ranking), getattr(decision, "photo", None)
        if shown.photo != about:
            raise FlukeprintError(f"ranking {ranking} was shown for photo {shown.photo}")
    changes = lines(link, draft.effects, draft.name)
    if dry_run:
        return Outcome(None, draft.number - 1, changes, tuple(draft.notes))
    details = dataclasses.asdict(decision)  # type: ignore[call-overload]
    _append(draft, decision.kind, who, why, details, ranking)
    return Outcome(draft.number, draft.number, changes, tuple(draft.notes))


def take_in(
    link: sqlite3.Connection,
    root: Path,
    incoming: Iterable[Incoming],
    *,
    who: str,
    why: str,
    dry_run: bool,
) -> Import:
    """Note one import. See :meth:`Catalogue.add_photos`."""
    who = _checked_who(who)
    draft = Draft(link, None)
    arrivals = Importing(draft, root).take(incoming)
    arrived = arrivals.count(len(draft.born))
    if dry_run or not (arrivals.photos or arrivals.files or draft.effects):
        return Import(None, draft.number - 1, arrived)
    link.executemany(f"INSERT INTO photo VALUES ({', '.join('?' * 10)})", arrivals.photos)
    link.executemany(
        "INSERT INTO file (path, photo, mtime_ns, event) VALUES (?, ?, ?, ?)", arrivals.files
    )
    details = {"photos": len(arrivals.photos), "files": len(arrivals.files)}
    _append(draft, "import", who, why, details, None)
    return Import(draft.number, draft.number, arrived)


def _append(
    draft: Draft, kind: str, who: str, why: str, details: Mapping[str, object], ranking: int | None
) -> None:
    draft.link.executemany(
        "INSERT INTO individual VALUES (?, ?)", ((born, draft.number) for born in draft.born)
    )
    append(
        draft.link,
        draft.number,
        kind=kind,
        who=who,
        why=why,
        details=json.dumps(details, ensure_ascii=False),
        effects=draft.effects,
        ranking=ranking,
        undoes=draft.undoes,
    )


def _checked_who(who: str) -> str:
    try:
        return checked_name(who)
    except FlukeprintError:
        raise FlukeprintError("a decision needs a name of who decides; give one") from None
