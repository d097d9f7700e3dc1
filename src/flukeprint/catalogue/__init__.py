"""A catalogue that never loses a decision: one SQLite file, copied to a stick and opened anywhere.

``Catalogue.create(path, root=...)`` and ``Catalogue.open(path)`` give a catalogue. ``bring_in``
imports photos, known by their content. ``decide`` notes a decision, each kind a dataclass below,
and says exactly what it changed; with ``dry_run`` it only says so. Nothing noted is ever changed:
:class:`Undo` is a decision, too. ``check`` says whether a file is whole, ``rescue`` saves what can
be read of a damaged one. This is the only place that speaks SQL.
"""

from flukeprint.catalogue.arrive import Imported, bring_in, replaced_files
from flukeprint.catalogue.catalogue import Catalogue
from flukeprint.catalogue.check import Report, check
from flukeprint.catalogue.draft import Outcome
from flukeprint.catalogue.evidence import Ranking, Shown
from flukeprint.catalogue.history import Counts, IndividualNow, PhotoNow, Present
from flukeprint.catalogue.individuals import Merge, Rename, Split
from flukeprint.catalogue.listing import (
    Listed,
    columns_of,
    doubtful_names,
    from_files,
    from_table,
    read_sheet,
    without_names,
)
from flukeprint.catalogue.past import Entry
from flukeprint.catalogue.photos_in import Arrived, Incoming
from flukeprint.catalogue.rescue import Rescued, rescue
from flukeprint.catalogue.undo import Undo
from flukeprint.catalogue.verdicts import (
    CorrectBox,
    Describe,
    Different,
    Move,
    New,
    NoWhale,
    Same,
    Unsure,
)

__all__ = [
    "Arrived",
    "Catalogue",
    "CorrectBox",
    "Counts",
    "Describe",
    "Different",
    "Entry",
    "Imported",
    "Incoming",
    "IndividualNow",
    "Listed",
    "Merge",
    "Move",
    "New",
    "NoWhale",
    "Outcome",
    "PhotoNow",
    "Present",
    "Ranking",
    "Rename",
    "Report",
    "Rescued",
    "Same",
    "Shown",
    "Split",
    "Undo",
    "Unsure",
    "bring_in",
    "check",
    "columns_of",
    "doubtful_names",
    "from_files",
    "from_table",
    "read_sheet",
    "replaced_files",
    "rescue",
    "without_names",
]
