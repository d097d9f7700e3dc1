"""What is in a labelled collection: counted, drawn and written down."""

from flukeprint.explore.records import Exploration
from flukeprint.explore.report import explore

__all__ = ["Exploration", "explore"]
