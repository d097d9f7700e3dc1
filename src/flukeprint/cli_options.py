"""Options and arguments that several commands share, and what is done with them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from flukeprint.records import Failure

PATH = click.Path(readable=False, path_type=Path)  # the library says what is wrong with a file
DATA = click.argument("data", type=PATH)
MODEL = click.option(
    "--model",
    "model_path",
    type=PATH,
    help="A model file, or default, best or measured, which come with flukeprint; else default.",
)
CACHE = click.option(
    "--cache",
    type=PATH,
    help="Where what is computed of each photo is kept; else the user cache.",
)
DEVICE = click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
TRAIN_DEVICE = click.option(
    "--device", default="auto", show_default=True, help="auto, cuda, mps or cpu."
)
CONFIG = click.option("--config", type=PATH, help="TOML file with settings.")
SETTINGS = click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="One setting; repeat."
)
CATALOGUE = click.option(
    "--catalogue",
    "file",
    type=PATH,
    required=True,
    envvar="FLUKEPRINT_CATALOGUE",
    help="The catalogue's file; else $FLUKEPRINT_CATALOGUE.",
)
ROOT = click.option("--root", type=PATH, help="Where the catalogue's photos lie now.")
WHO = click.option(
    "--who",
    envvar="FLUKEPRINT_WHO",
    default=lambda: user_name(),  # not asked for where it is not needed
    show_default="$FLUKEPRINT_WHO, else your user name",
    help="Who decides.",
)
WHY = click.option("--why", default="", help="Why, for those who read it in years.")
DRY_RUN = click.option("--dry-run", is_flag=True, help="Say what would change; change nothing.")
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON for a program to read.")


def json_text(value: object) -> str:
    """JSON as commands print it."""
    import json

    return json.dumps(value, indent=1)


def cache_folder(named: Path | None) -> Path:
    """Where embeddings are kept."""
    from flukeprint.cache import default_folder

    return named or default_folder()


def found_photos(paths: tuple[Path, ...]) -> list[Path]:
    """The photos among files and folders; pictures in formats that are passed over are named."""
    from flukeprint.photos import find_photos, left_out

    found = find_photos(paths)
    for line in left_out(paths):
        say(f"warning: {line}", err=True)
    return found


def say(text: str, *, err: bool = False) -> None:
    """Print one line that is safe for a terminal, whatever names it holds."""
    from flukeprint.wording import terminal_line

    click.echo(terminal_line(text), err=err)


def tell_failures(failures: Iterable[Failure]) -> None:
    """Warn of photos that were left out."""
    for failure in failures:
        say(failure.warning(), err=True)


def user_name() -> str:
    """The name of the user's account; a person may go by another."""
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # nameless, as in containers; Windows before 3.13
        raise click.UsageError("say who decides with --who NAME or $FLUKEPRINT_WHO") from None
