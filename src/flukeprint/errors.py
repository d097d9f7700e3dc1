"""The one exception that reaches a user as a single line."""

from __future__ import annotations


class FlukeprintError(Exception):
    """Something the user can mend: the message names the file and says what to do.

    The command line prints it as one line and exits with code 2.
    """
