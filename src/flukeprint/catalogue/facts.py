"""What owners tell of photos, brought to one form or refused: dates, degrees, names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, time, timedelta

from flukeprint.catalogue.draft import checked_name
from flukeprint.errors import FlukeprintError

DATE = re.compile(
    r"(?P<year>\d{4})(?:(?P<part>[-/:.]?)(?P<month>\d\d)(?:(?P=part)(?P<day>\d\d))?)?"
    r"(?:[T ](?P<hour>\d\d|\d(?=:)):?(?P<minute>\d\d)(?::?(?P<second>\d\d)(?:\.\d+)?)?"
    r"(?: ?(?P<half>[AaPp])\.?[Mm]\.?)?(?P<zone>Z|[+-](?:0\d|1[0-4]):?[0-5]\d)?)?",
    re.ASCII,
)
TURNED = re.compile(r"(\d{1,2})([./-])(\d{1,2})\2(\d{4})((?:[T ].*)?)", re.ASCII)
ORDERS = ("dmy", "mdy")
"""Whether a date such as 05/12/2026 begins with its day or its month."""
PARTS = ("year", "month", "day", "time", "hour", "minutes")
"""What a sheet may tell of a date in columns of its own."""
NUMBER = re.compile(r"\d+(?:\.0+)?", re.ASCII)  # a column with gaps may come as 7.0
CLOCK = re.compile(r"[T ]\d{1,2}:?\d\d", re.ASCII)
DEGREES = re.compile(r"[+-]?\d+(?:[.,]\d*)?", re.ASCII)  # half of Europe writes 12,5
FIRST_YEAR = 1826  # of the oldest photo that is left, by Niépce
MOST_DEGREES = {"latitude": 90.0, "longitude": 180.0}


def checked_fact(field: str, text: str, dates: str = "") -> str:
    """A fact as it is kept: a date in ISO 8601, degrees as a plain number, other text as it is.

    ``dates`` is the order of dates that end with their year. See :func:`year_first`.

    Raises:
        FlukeprintError: it cannot be understood, or only by guessing.
    """
    try:
        text = checked_name(text)
    except FlukeprintError as error:
        raise FlukeprintError(f"{field}: {error}") from None
    if field == "date":
        return _date(text, dates)
    if field in MOST_DEGREES:
        return _degrees(field, text)
    return text


def year_first(text: str, order: str) -> str:
    """A date that ends with its year turned to one that begins so; any other text as it is.

    ``order`` is one of ``ORDERS``, or empty where nobody said it: then nothing is turned.
    """
    found = TURNED.fullmatch(text.strip()) if order else None
    if not found:
        return text
    first, _, second, year, clock = found.groups()
    day, month = (first, second) if order == "dmy" else (second, first)
    return f"{year}-{month:0>2}-{day:0>2}{clock}"


def date_text(cells: Mapping[str, str]) -> str:
    """A date as one text, of the cells that tell it: ``date`` and ``PARTS``, no white space around.

    Empty where they tell none; a time alone tells none.

    Raises:
        FlukeprintError: they do not go together, or are no numbers and no time.
    """
    day, clock = cells.get("date", "") or _day(cells), cells.get("time", "") or _clock(cells)
    if not day or not clock:
        return day
    aside = f"leave that column aside with --columns {'time' if cells.get('time') else 'hour'}="
    if CLOCK.search(day):
        raise FlukeprintError(f"{day[:40]!r} tells a time, and {clock[:40]!r} another; {aside}")
    try:
        _date(f"2000-01-01 {clock}", "")
    except FlukeprintError:
        raise FlukeprintError(
            f"{clock[:40]!r} is not a time of day; write HH:MM, or {aside}"
        ) from None
    return f"{day} {clock}"


def _day(cells: Mapping[str, str]) -> str:
    """The date of a year, a month and a day, or of as many of them as there are."""
    year, month, day = (_number(cells, name) for name in ("year", "month", "day"))
    if day and not month:
        raise FlukeprintError(f"day {day} without a month")
    if month and not year:
        raise FlukeprintError(f"month {month} without a year")
    return "-".join(f"{part:0>2}" for part in (year, month, day) if part)


def _clock(cells: Mapping[str, str]) -> str:
    hour, minutes = (_number(cells, name) for name in ("hour", "minutes"))
    return f"{hour:0>2}:{minutes:0>2}" if hour and minutes else ""


def _number(cells: Mapping[str, str], name: str) -> str:
    text = cells.get(name, "")
    if text and not NUMBER.fullmatch(text):
        raise FlukeprintError(
            f"{name}: {text[:40]!r} is not a number; mend it, or leave that column aside with "
            f"--columns {name}="
        )
    return text.partition(".")[0]


def _date(text: str, order: str) -> str:
    found = DATE.fullmatch(year_first(text, order))
    parts = found.groupdict() if found else {}
    # Six digits could be a year and month, or a day, month and short year.
    clear = found and not (parts["part"] == "" and parts["month"] and not parts["day"])
    if not clear or (parts["hour"] and not parts["day"]):
        hint = TURNED.fullmatch(text) and not order
        raise FlukeprintError(
            f"{text[:40]!r} is not a date; write YYYY-MM-DD, or YYYY, or YYYY-MM"
            + (" (import --dates dmy or mdy reads such)" if hint else "")
        )
    hour = _hour(parts["hour"], parts["half"])
    try:
        first = date(int(parts["year"]), int(parts["month"] or 1), int(parts["day"] or 1))
        time(hour, int(parts["minute"] or 0), int(parts["second"] or 0))
    except ValueError as error:
        raise FlukeprintError(
            f"{text[:40]!r} is not a date: {error}{_turned_around(text, order)}"
        ) from None
    if first.year < FIRST_YEAR or first > date.today() + timedelta(days=1):  # it is tomorrow there
        when = "before there were photos" if first.year < FIRST_YEAR else "in the future"
        raise FlukeprintError(f"{text[:40]!r} lies {when}; mend the year")
    day = "-".join(part for part in (parts["year"], parts["month"], parts["day"]) if part)
    if not parts["hour"]:
        return day
    clock = f"{hour:0>2}:{parts['minute']}:{parts['second'] or '00'}"
    return f"{day}T{clock}{parts['zone'] or ''}"


def _hour(hour: str | None, half: str | None) -> int:
    """The hour of the day, 99 where a clock of twelve hours knows none such."""
    if not half:
        return int(hour or 0)
    shown = int(hour or 0)
    return shown % 12 + 12 * (half in "Pp") if 1 <= shown <= 12 else 99


def _turned_around(text: str, order: str) -> str:
    """A hint where the other order of day and month would make a date of it."""
    if not order:
        return ""
    other = "mdy" if order == "dmy" else "dmy"
    try:
        _date(year_first(text, other), "")
    except FlukeprintError:
        return ""
    return f"; --dates {other} reads it"


def _degrees(field: str, text: str) -> str:
    found = DEGREES.fullmatch(text)
    degrees = float(text.replace(",", ".")) if found else float("nan")
    if not abs(degrees) <= MOST_DEGREES[field]:
        raise FlukeprintError(
            f"{text[:40]!r} is not a {field}; write decimal degrees, "
            f"-{MOST_DEGREES[field]:g} to {MOST_DEGREES[field]:g}"
        )
    return f"{round(degrees, 7) + 0.0:.7f}".rstrip("0").rstrip(".")
