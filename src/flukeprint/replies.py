"""What a person can say to a suspicion, that it is so or that it is not, and whether they did.

Replies are commands of ``flukeprint catalogue``, as they are written behind those two words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

from flukeprint.catalogue import PhotoNow
from flukeprint.catalogue.state import CONFIRMED
from flukeprint.suspicions import TWINS, TWO_NAMES, TWO_WHALES, WRONG_NAME

Command = tuple[str, ...]

IN_WORDS = {
    TWO_NAMES: "same whale",
    TWO_WHALES: "two whales",
    WRONG_NAME: "wrong name",
    TWINS: "twins",
}
"""What each kind of suspicion says of what it names."""
UNRANKED = ("--ranking", "none")
"""A ranking that was shown of the photo some other day is not what such a decision rests on."""


class Suspected(NamedTuple):
    """What is suspected, of whom, and of which photos: see ``suspicions.Suspicion``."""

    kind: str
    individuals: tuple[int, ...]
    photos: Sequence[PhotoNow]


def is_confirmed(photo: PhotoNow) -> bool:
    """Whether a person said that the photo shows the individual that it is put with."""
    return photo.individual is not None and photo.state == CONFIRMED


def is_denied(one: Suspected, members: Mapping[int, Sequence[PhotoNow]]) -> bool:
    """Whether a person said that it is not so; ``members`` are individuals' photos.

    What was confirmed instead is not even suspected: see :func:`flukeprint.suspicions.audit`.
    """
    if one.kind == WRONG_NAME:
        return one.individuals[1] in one.photos[0].not_individuals
    if one.kind == TWO_NAMES:
        first, second = one.individuals
        return any(second in photo.not_individuals for photo in members[first]) or any(
            first in photo.not_individuals for photo in members[second]
        )
    if one.kind == TWINS:
        pairs = combinations(one.photos, 2)
        return all(_told_apart(a, b) for a, b in pairs if a.individual != b.individual)
    return False


def _told_apart(one: PhotoNow, other: PhotoNow) -> bool:
    """Whether a person said of one of two photos that it does not show the other's individual."""
    return one.individual in other.not_individuals or other.individual in one.not_individuals


def remedy(one: Suspected, names: Mapping[int, str], why: str) -> Command:
    """What puts it right if it is so; empty where only a person can know what does."""
    named, reason = [names[number] for number in one.individuals], ("--why", why)
    if one.kind == TWO_NAMES:
        return ("merge", *reason, "--", *named)
    if one.kind == TWO_WHALES:
        numbers = ",".join(str(photo.number) for photo in one.photos)
        return ("split", "--photos", numbers, *reason, "--", *named)
    if one.kind == WRONG_NAME:
        return _decide(one.photos, reason, f"--move={named[1]}")
    return ()


def dismissals(one: Suspected, names: Mapping[int, str], why: str) -> tuple[Command, ...]:
    """What says that it is not so, after which it is not suspected again.

    One command, but for twins under more than two names.
    """
    reason = ("--why", f"against {why}")
    if one.kind == TWO_NAMES:
        first, second = one.individuals
        photo = next(photo for photo in one.photos if photo.individual == first)
        return (_decide([photo], reason, f"--different={names[second]}"),)
    if one.kind == TWINS:
        later = {
            number: [
                photo
                for photo in one.photos
                if number < (photo.individual or 0)
                and not all(_told_apart(photo, b) for b in one.photos if b.individual == number)
            ]
            for number in one.individuals
        }
        return tuple(
            _decide(photos, reason, f"--different={names[number]}")
            for number, photos in later.items()
            if photos
        )
    open_ = [photo for photo in one.photos if not is_confirmed(photo)]
    return (_decide(open_, reason, f"--same={names[one.individuals[0]]}"),)


def one_whale(photos: Sequence[int], why: str) -> Command:
    """What makes a whale of photos, by their numbers, that nobody has named."""
    # --new comes last: what follows it would be the whale's name
    return ("decide", *map(str, photos), *UNRANKED, "--why", why, "--new")


def _decide(photos: Sequence[PhotoNow], reason: Command, verdict: str) -> Command:
    return ("decide", *(str(photo.number) for photo in photos), *UNRANKED, *reason, verdict)
