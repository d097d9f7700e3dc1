"""The catalogue's tables, as numbered migrations that are only ever added to.

A decision is a row of ``event``; what it changed are rows of ``effect``; ``cell`` is the present
state, which can be derived from them again at any time. Facts about files (``photo``, ``file``)
and what models said (``look``, ``embedding``, ``ranking``) are observations: they are added to and
never changed, either.

Cells have kind ``p`` (of a photo) or ``i`` (of an individual). ``item`` makes several cells of one
field: the individual of ``label`` and ``not``, the text of ``alias`` and of ``other date``. So two
independent decisions touch two cells, and each can be undone without the other.

Nothing here needs SQLite newer than 3.24 (2018), so that an old machine can read the file.
"""

from __future__ import annotations

Migration = tuple[str, ...]

APPLICATION_ID = 0x666C756B
"""``fluk``, at byte 68 of the file: tells a catalogue from other programs' SQLite files."""

LOGGED = ("event", "effect", "photo", "file", "individual", "ranking", "look", "embedding", "model")
"""Tables whose rows never change once written."""


def _frozen(table: str) -> Migration:
    return tuple(
        f"CREATE TRIGGER {table}_never_{verb.lower()} BEFORE {verb} ON {table} "
        f"BEGIN SELECT RAISE(ABORT, 'the catalogue never changes what it noted: {table}'); END"
        for verb in ("UPDATE", "DELETE")
    )


_FIRST: Migration = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    # who, when, why; seal is the SHA-256 over the seal before and all that the event noted.
    """CREATE TABLE event (
        id INTEGER PRIMARY KEY,
        at TEXT NOT NULL,
        who TEXT NOT NULL CHECK (who <> ''),
        why TEXT NOT NULL,
        kind TEXT NOT NULL,
        details TEXT NOT NULL,
        ranking INTEGER REFERENCES ranking (id),
        undoes INTEGER REFERENCES event (id),
        seal BLOB NOT NULL CHECK (length(seal) = 32)
    )""",
    "CREATE INDEX event_undoes ON event (undoes) WHERE undoes IS NOT NULL",
    # An owner is the event that a value stands by; an undo gives the cell back to the one before.
    """CREATE TABLE effect (
        id INTEGER PRIMARY KEY,
        event INTEGER NOT NULL REFERENCES event (id) DEFERRABLE INITIALLY DEFERRED,
        kind TEXT NOT NULL CHECK (kind IN ('p', 'i')),
        subject INTEGER NOT NULL,
        field TEXT NOT NULL,
        item NOT NULL,
        before,
        before_owner INTEGER NOT NULL,
        after,
        after_owner INTEGER NOT NULL
    )""",
    "CREATE INDEX effect_event ON effect (event)",
    "CREATE INDEX effect_subject ON effect (kind, subject, event)",
    "CREATE INDEX effect_joined ON effect (after) WHERE field = 'individual'",
    "CREATE INDEX effect_left ON effect (before) WHERE field = 'individual'",
    """CREATE TABLE cell (
        kind TEXT NOT NULL,
        subject INTEGER NOT NULL,
        field TEXT NOT NULL,
        item NOT NULL,
        value,
        owner INTEGER NOT NULL,
        PRIMARY KEY (kind, subject, field, item)
    ) WITHOUT ROWID""",
    "CREATE INDEX cell_individual ON cell (value) WHERE field = 'individual'",
    "CREATE INDEX cell_noted ON cell (item) WHERE field IN ('label', 'not')",
    "CREATE INDEX cell_alias ON cell (item) WHERE field = 'alias'",
    "CREATE INDEX cell_name ON cell (value) WHERE field = 'name'",
    "CREATE INDEX cell_unsettled ON cell (value) WHERE value IN ('conflict', 'open')",
    "CREATE INDEX cell_encounter ON cell (value) WHERE field = 'encounter'",
    """CREATE TABLE individual (
        id INTEGER PRIMARY KEY,
        event INTEGER NOT NULL REFERENCES event (id) DEFERRABLE INITIALLY DEFERRED
    )""",
    """CREATE TABLE photo (
        id INTEGER PRIMARY KEY,
        sha256 BLOB NOT NULL UNIQUE CHECK (length(sha256) = 32),
        size_bytes INTEGER NOT NULL,
        width_px INTEGER,
        height_px INTEGER,
        taken TEXT,
        latitude REAL,
        longitude REAL,
        camera TEXT,
        event INTEGER NOT NULL REFERENCES event (id) DEFERRABLE INITIALLY DEFERRED
    )""",
    "CREATE INDEX individual_event ON individual (event)",
    "CREATE INDEX photo_event ON photo (event)",
    # The last row of a path holds; photo NULL means that the file was not there any more.
    """CREATE TABLE file (
        id INTEGER PRIMARY KEY,
        path TEXT NOT NULL CHECK (path <> ''),
        photo INTEGER REFERENCES photo (id),
        mtime_ns INTEGER,
        event INTEGER NOT NULL REFERENCES event (id) DEFERRABLE INITIALLY DEFERRED
    )""",
    "CREATE INDEX file_path ON file (path)",
    "CREATE INDEX file_photo ON file (photo)",
    "CREATE INDEX file_event ON file (event)",
    """CREATE TABLE model (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE
    )""",
    """CREATE TABLE look (
        id INTEGER PRIMARY KEY,
        photo INTEGER NOT NULL REFERENCES photo (id),
        model INTEGER NOT NULL REFERENCES model (id),
        x0 REAL NOT NULL, y0 REAL NOT NULL, x1 REAL NOT NULL, y1 REAL NOT NULL,
        probability REAL NOT NULL, slope REAL NOT NULL,
        upside_down INTEGER NOT NULL, others INTEGER NOT NULL,
        width_px REAL NOT NULL, height_px REAL NOT NULL,
        sharpness REAL NOT NULL, contrast REAL NOT NULL, tilt_deg REAL NOT NULL,
        quality REAL NOT NULL,
        UNIQUE (photo, model)
    )""",
    """CREATE TABLE embedding (
        id INTEGER PRIMARY KEY,
        photo INTEGER NOT NULL REFERENCES photo (id),
        model INTEGER NOT NULL REFERENCES model (id),
        dtype TEXT NOT NULL CHECK (dtype IN ('<f2', '<f4')),
        vector BLOB NOT NULL,
        UNIQUE (photo, model)
    )""",
    # candidates: JSON, likeliest first: [[individual, name as it was shown, probability], ...]
    """CREATE TABLE ranking (
        id INTEGER PRIMARY KEY,
        photo INTEGER NOT NULL REFERENCES photo (id),
        model INTEGER NOT NULL REFERENCES model (id),
        at TEXT NOT NULL,
        new REAL NOT NULL,
        candidates TEXT NOT NULL
    )""",
    "CREATE INDEX ranking_photo ON ranking (photo)",
    *(statement for table in LOGGED for statement in _frozen(table)),
)

NAMED = """CAST(substr(details, instr(details, '"individual": ') + 14) AS INTEGER)"""
"""The individual that an event's details name, 0 for none; SQLite can do without JSON."""
NAMING = "kind IN ('same', 'different', 'move')"

_SECOND: Migration = (
    # A verdict that moves no photo, as one that confirms a label, names its individual there alone.
    f"CREATE INDEX event_named ON event ({NAMED}) WHERE {NAMING}",
    # Names of individuals that were undone.
    "CREATE INDEX effect_unnamed ON effect (before) WHERE field = 'name' AND after IS NULL",
)

_THIRD: Migration = (
    # The last event when the photo was compared. Clocks of several computers disagree, events
    # have one order. NULL in rankings that older versions noted.
    "ALTER TABLE ranking ADD COLUMN revision INTEGER",
)

MIGRATIONS: tuple[Migration, ...] = (_FIRST, _SECOND, _THIRD)
"""The statements that lead from each version to the next. Append; never edit one that shipped."""
