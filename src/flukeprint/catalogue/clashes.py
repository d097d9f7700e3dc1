"""What does not go together in a state: whoever names nobody, a name given twice, half a photo.

Asked of a draft about the cells that it changes, as the state before it was sound. SQLite knows
only that one, so whom the draft's own changes name is looked up beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import flukeprint.catalogue.state as state
from flukeprint.catalogue.draft import Draft
from flukeprint.catalogue.log import Key
from flukeprint.catalogue.state import CONFIRMED, IMPORTED, NO_WHALE

Cells = tuple[Key, ...]


def clashes(draft: Draft, keys: Iterable[Key]) -> Iterator[Cells]:
    """For each clash with one of these cells the others that it hangs on, the likeliest first."""
    laid = _Laid(draft)
    for key in keys:
        yield from _with(draft, key, laid)


class _Laid:
    """What a draft's changes say: which of its cells name an individual, or give it a name."""

    def __init__(self, draft: Draft) -> None:
        self.naming: dict[int, list[Key]] = {}
        self.called: dict[str, list[Key]] = {}
        for key in draft.changed_cells():
            value = draft.held(key).value
            if value is None:
                continue
            whom = {"individual": value, "alias": key.subject}.get(key.field, key.item)
            if key.field in ("individual", "label", "not", "alias") and isinstance(whom, int):
                self.naming.setdefault(whom, []).append(key)
            if key.field in ("name", "alias"):
                text = value if key.field == "name" else key.item
                self.called.setdefault(str(text), []).append(key)


def _with(draft: Draft, key: Key, laid: _Laid) -> Iterator[Cells]:
    value = draft.held(key).value
    if key.kind == "p" and key.field in ("individual", "state"):
        yield from _half_placed(draft, key)
    if key.field == "alive":
        if value is None:
            yield from _references(draft, key.subject, laid)
        else:
            yield from _same_names(draft, key.subject, laid)
    elif key.field in ("name", "alias"):
        if value is not None:
            yield from _same_names(draft, key.subject, laid)
            if draft.get("i", key.subject, "alive") is None:
                yield (Key("i", key.subject, "alive"),)
    elif key.field in ("individual", "label", "not") and value is not None:
        individual = value if key.field == "individual" else key.item
        assert isinstance(individual, int)
        if draft.get("i", individual, "alive") is None:
            yield (Key("i", individual, "alive"),)
        if key.field != "label":
            placed, said = Key("p", key.subject, "individual"), Key(*key[:2], "not", individual)
            if draft.held(placed).value == individual and draft.held(said).value is not None:
                yield (said if key.field == "individual" else placed,)


def _half_placed(draft: Draft, key: Key) -> Iterator[Cells]:
    """A photo that is imported or confirmed as somebody has an individual, without whale none."""
    individual, where = (draft.get("p", key.subject, field) for field in ("individual", "state"))
    if where in ((IMPORTED, CONFIRMED) if individual is None else (None, NO_WHALE)):
        yield (Key("p", key.subject, "state" if key.field == "individual" else "individual"),)


def _references(draft: Draft, individual: int, laid: _Laid) -> Iterator[Cells]:
    """What still names an individual that would be no more; a merge into it left it aliases."""
    placed = (Key("p", photo, "individual") for photo in state.members(draft.link, individual))
    aliases = state.items(draft.link, "i", individual, "alias")
    known = (Key("i", individual, "alias", alias) for alias in aliases)
    noted, own = state.noted(draft.link, individual), laid.naming.get(individual, [])
    for key in dict.fromkeys((*placed, *noted, *known, *own)):
        now = draft.held(key).value
        if now is not None and (key.field != "individual" or now == individual):
            yield (key,)


def _same_names(draft: Draft, individual: int, laid: _Laid) -> Iterator[Cells]:
    """Names of other individuals that this one would go by, too."""
    alive = Key("i", individual, "alive")
    if draft.held(alive).value is None:
        return
    aliases = state.items(draft.link, "i", individual, "alias")
    back = {key.item for key in draft.changed("i", individual, "alias")}
    texts = {str(text): Key("i", individual, "alias", text) for text in {*aliases, *back}}
    texts = {text: key for text, key in texts.items() if draft.held(key).value}
    texts[str(draft.get("i", individual, "name"))] = Key("i", individual, "name")
    for text, mine in texts.items():
        theirs = dict.fromkeys((*state.called(draft.link, text), *laid.called.get(text, [])))
        for key in theirs:
            now, there = draft.held(key).value, Key("i", key.subject, "alive")
            still = now == text if key.field == "name" else now is not None
            if key.subject != individual and still and draft.held(there).value is not None:
                yield (key, there, alive, mine)
