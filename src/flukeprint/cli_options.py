"""Options and arguments that several commands share."""

from __future__ import annotations

from pathlib import Path

import click

PATH = click.Path(readable=False, path_type=Path)  # the library says what is wrong with a file
DATA = click.argument("data", type=PATH)
MODEL = click.option(
    "--model",
    "model_path",
    type=PATH,
    help="Model file; else the shipped one.",
)
CACHE = click.option(
    "--cache",
    type=PATH,
    help="Where embeddings are kept; else the user cache.",
)
DEVICE = click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
TRAIN_DEVICE = click.option(
    "--device", default="auto", show_default=True, help="auto, cuda, mps or cpu."
)
CONFIG = click.option("--config", type=PATH, help="TOML file with settings.")
SETTINGS = click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="One setting; repeat."
)
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON for a program to read.")


def json_text(value: object) -> str:
    """JSON as commands print it."""
    import json

    return json.dumps(value, indent=1)
