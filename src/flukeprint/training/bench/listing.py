"""The list of recipes, for ``flukeprint bench papers --list``."""

from __future__ import annotations

import json
import textwrap
from typing import Any

from flukeprint.training.recipes import Recipe, Variant, all_recipes

_WIDTH = 96
OWN = "no paper"


def list_recipes() -> str:
    """All recipes as plain text: name, paper, section and every published figure."""
    return "".join(_entry(recipe) for recipe in all_recipes())


def listing_json() -> str:
    """The same as a JSON array, with the papers' titles and authors and each figure by itself."""
    return json.dumps([_facts(recipe) for recipe in all_recipes()], indent=1)


def _entry(recipe: Recipe) -> str:
    paper = recipe.paper
    where = f"{paper.institution}, {paper.section}" if paper else OWN
    lines = [f"{recipe.name:34}{where}"]
    if paper:
        lines += textwrap.wrap(paper.system, _WIDTH, initial_indent="  ", subsequent_indent="  ")
    lines += textwrap.wrap(
        f"published: {recipe.published_text()}",
        _WIDTH,
        initial_indent="  ",
        subsequent_indent="    ",
        break_on_hyphens=False,
    )
    return "\n".join(lines) + "\n"


def _facts(recipe: Recipe) -> dict[str, Any]:
    paper = recipe.paper
    return {
        "name": recipe.name,
        "paper": paper and paper.title,
        "authors": paper and paper.authors,
        "institution": paper and paper.institution,
        "section": paper and paper.section,
        "system": paper and paper.system,
        "epochs": recipe.config.epochs,
        "published": _figures(recipe),
        "variants": [
            {"set": list(variant.settings), "published": _figures(variant)}
            for variant in recipe.variants
        ],
    }


def _figures(of: Recipe | Variant) -> list[dict[str, Any]]:
    return [
        {
            "figure": one.figure,
            "measure": one.measure,
            "setting": one.setting,
            "where": one.where,
        }
        for one in of.published
    ]
