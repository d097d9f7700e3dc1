"""XMP sidecars that tell photo programs whose fluke a photo shows, as tags.

Sources: ISO 16684-1 (``dc:subject``); Adobe Lightroom's namespace (``lr:hierarchicalSubject``,
levels parted by "|"); digiKam's (``digiKam:TagsList``, levels parted by "/").

Each sidecar notes in a list of its own, ``flukeprint:tags``, which tags this program put there, so
that a photo that turns out to show another whale loses the old tags and no others. Where a program
threw that note away, the branch ``Whales|Humpback`` tells: names of catalogued individuals in it
are ours, and so are the same names in ``dc:subject``.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from flukeprint.catalogue.history import PhotoNow
from flukeprint.errors import FlukeprintError
from flukeprint.exports.exporting import Exporting, is_inside
from flukeprint.exports.xmp_packet import EMPTY, Change, Packet, Property
from flukeprint.files import write_bytes
from flukeprint.wording import plural, terminal_line

STYLES = ("full", "bare")
BRANCH = ("Whales", "Humpback")
SUBJECT = Property("http://purl.org/dc/elements/1.1/", "subject", "dc", "Bag")
HIERARCHY = Property("http://ns.adobe.com/lightroom/1.0/", "hierarchicalSubject", "lr", "Bag")
TAGS = Property("http://www.digikam.org/ns/1.0/", "TagsList", "digiKam", "Seq")
# RFC 2606 keeps .invalid for names that nobody can own.
NOTED = Property("https://flukeprint.invalid/ns/1.0/", "tags", "flukeprint", "Bag")
PROPERTIES = (SUBJECT, HIERARCHY, TAGS, NOTED)


@dataclass(slots=True)
class _Tally:
    written: int = 0
    same: int = 0
    bare: int = 0
    refused: list[str] = field(default_factory=list)


def write_sidecars(exporting: Exporting, out: Path) -> tuple[str, ...]:
    """Write a sidecar for each file of each identified photo, merged with the one there.

    They go into ``out``, in folders like the photos', or with ``in_place`` beside the photos; then
    ``out`` is not used. Unidentified photos get none, but lose earlier tags of ours.

    Raises:
        FlukeprintError: the style is unknown, ``out`` lies among the photos, or a sidecar cannot
            be written; those written before stay.
    """
    if exporting.sidecars not in STYLES:
        raise FlukeprintError(
            f"no style of sidecars is called {exporting.sidecars!r}; say {' or '.join(STYLES)}"
        )
    if not exporting.in_place:
        _check_apart(out, exporting)
    tally = _Tally()
    names = frozenset(_flat(name) for name in exporting.names.values())
    for place, files in _by_sidecar(exporting).items():
        if len({photo.individual for photo, _ in files}) > 1:
            several = " and ".join(terminal_line(path) for _, path in files)
            tally.refused.append(
                f"left out {terminal_line(place)}: it would be the sidecar of {several}"
            )
        else:
            photo, path = files[0]
            name = exporting.name(photo)
            wanted = None if name is None else _flat(name)
            _one(exporting, out, place, path, wanted, names, tally)
    where = "beside the photos" if exporting.in_place else str(out)
    done = f"{plural(tally.written, 'sidecar')} written, {tally.same:,} were so already: {where}"
    bare = f"{plural(tally.bare, 'file')} without an individual or tags of ours: no sidecar"
    return (done, *([bare] if tally.bare else []), *tally.refused)


def sidecar_name(path: str, style: str) -> str:
    """A sidecar's path: IMG.JPG.xmp (``full``, digiKam, darktable) or IMG.xmp (Lightroom)."""
    return f"{path}.xmp" if style == "full" else str(PurePosixPath(path).with_suffix(".xmp"))


def merge(raw: bytes, name: str | None, names: frozenset[str]) -> bytes:
    """A sidecar with the tags of an individual, None for nobody; earlier tags of ours go.

    ``names`` are those of the catalogue. What is as it should be comes back byte for byte.

    Raises:
        ValueError: it cannot be changed safely; the message says why.
    """
    packet = Packet(raw, PROPERTIES)
    noted = set(packet.texts(NOTED))
    ours = noted or _in_branch(packet, names)
    wanted = {
        SUBJECT: () if name is None else (name,),
        HIERARCHY: () if name is None else (_level(name, "|"),),
        TAGS: () if name is None else (_level(name, "/"),),
    }
    changes, note = {}, []
    for one, tags in wanted.items():
        there = packet.texts(one)
        add = tuple(tag for tag in tags if tag not in there)
        changes[one] = Change(frozenset(ours - set(tags)), add)
        note += [tag for tag in tags if tag in add or tag in ours]
    stale = frozenset(noted - set(note))
    changes[NOTED] = Change(stale, tuple(tag for tag in note if tag not in noted))
    idle = all(not add and not remove & set(packet.texts(one))
               for one, (remove, add) in changes.items())  # fmt: skip
    return raw if idle else packet.changed(changes)


def _in_branch(packet: Packet, names: frozenset[str]) -> set[str]:
    """What has to be ours where no note says so: catalogued names in our branch of a hierarchy."""
    tags = {*packet.texts(HIERARCHY), *packet.texts(TAGS)}
    found = {name for name in names if tags & {_level(name, "|"), _level(name, "/")}}
    return found | {_level(name, sign) for name in found for sign in "|/"}


def _flat(name: str) -> str:
    """A name as a tag, without the signs that part levels."""
    return name.replace("|", "-").replace("/", "-")


def _level(name: str, sign: str) -> str:
    return sign.join((*BRANCH, name))


def _check_apart(out: Path, exporting: Exporting) -> None:
    """Sidecars beside the photos are for those who asked for them."""
    place = os.path.realpath(out)
    homes = {os.path.realpath(exporting.root)}
    homes |= {
        os.path.realpath((exporting.root / path).parent)
        for photo in exporting.photos
        for path in photo.paths
    }
    if place in homes:
        raise FlukeprintError(
            f"{out}: photos lie there; name another folder, or write beside them with --in-place"
        )


def _by_sidecar(exporting: Exporting) -> dict[str, list[tuple[PhotoNow, str]]]:
    """Photos' files by the path of their sidecar; in the bare style several may share one."""
    found: dict[str, list[tuple[PhotoNow, str]]] = {}
    for photo in exporting.photos:
        for path in photo.paths:
            found.setdefault(sidecar_name(path, exporting.sidecars), []).append((photo, path))
    return found


def _one(
    exporting: Exporting,
    out: Path,
    place: str,
    path: str,
    name: str | None,
    names: frozenset[str],
    tally: _Tally,
) -> None:
    """Write one sidecar, or say why not."""
    beside = exporting.root / place
    target = beside if exporting.in_place else out / place
    why = _unfit(exporting, path, target)
    if why:
        tally.refused.append(f"left out {terminal_line(path)}: {why}")
        return
    try:
        there = _read([target, beside])
        if there is None and name is None:
            tally.bare += 1
            return
        merged = merge(EMPTY if there is None else there, name, names)
    except (ValueError, OSError) as error:
        tally.refused.append(f"left {terminal_line(str(beside))} alone: {error}")
        return
    if merged == there and target.is_file():
        tally.same += 1
        return
    write_bytes(target, merged)
    tally.written += 1


def _unfit(exporting: Exporting, path: str, target: Path) -> str:
    """Why a photo's file gets no sidecar; empty if it does."""
    if target.is_symlink():
        return f"{target.name} is a link"
    if exporting.in_place:
        return "" if os.path.isfile(exporting.root / path) else "it is not there any more"
    return "" if is_inside(path) else "it lies outside the catalogue's folder"


def _read(places: Sequence[Path]) -> bytes | None:
    """The first of these files that is there: what an earlier run wrote counts before."""
    for place in places:
        if place.is_file():
            return place.read_bytes()
    return None
