"""The one exception that reaches a user as a single line."""

from __future__ import annotations


class FlukeprintError(Exception):
    """Something the user can mend: the message names the file and says what to do.

    The command line prints it as one line and exits with code 2.
    """


def reason_of(error: Exception) -> str:
    """What others' code says went wrong, as the end of a line of ours."""
    return " ".join(str(error).split())[:200] or type(error).__name__


class Diverged(FlukeprintError):
    """A training whose loss is no number any more; another with other settings may do well."""
