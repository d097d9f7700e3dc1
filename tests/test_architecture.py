"""The house rules, read from the source."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src"
MODULES = {
    ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted((SOURCE / "flukeprint").rglob("*.py"))
}
CATALOGUE_USERS = {
    *("catalogued", "resight", "replies", "doubts", "exports"),
    *("cli_catalogue", "cli_decisions", "cli_export", "cli_identify", "cli_import", "cli_lists"),
    *("cli_opening", "cli_review"),
}
HEAVY = ("numpy", "PIL", "onnxruntime", "torch", "rich", "matplotlib", "jinja2")


@cache
def parsed(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text(encoding="utf-8"))


def imported(node: ast.AST) -> Iterator[str]:
    """Dotted names that an import statement loads; of `from a import b`, a and a.b."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, "imports are absolute"
        yield node.module or ""
        yield from (f"{node.module}.{alias.name}" for alias in node.names)


def all_imports(module: str) -> set[str]:
    return {name for node in ast.walk(parsed(module)) for name in imported(node)}


def imports_when_loaded(module: str) -> set[str]:
    """Those outside functions and `if TYPE_CHECKING`."""
    found: set[str] = set()
    waiting: list[ast.AST] = [parsed(module)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        found.update(imported(node))
        waiting += ast.iter_child_nodes(node)
    return found


def needs(names: set[str], package: str) -> bool:
    return any(name == package or name.startswith(f"{package}.") for name in names)


@pytest.mark.parametrize(
    ("package", "home"),
    [
        ("torch", "flukeprint.training"),
        ("timm", "flukeprint.training"),
        ("sqlite3", "flukeprint.catalogue"),
    ],
)
def test_a_heavy_package_stays_in_its_room(package: str, home: str) -> None:
    using = {module for module in MODULES if needs(all_imports(module), package)}
    assert {module for module in using if not module.startswith(home)} == set()


def test_nobody_looks_into_training_but_the_command_line() -> None:
    using = {module for module in MODULES if needs(all_imports(module), "flukeprint.training")}
    outside = {module for module in using if not module.startswith("flukeprint.training")}
    assert outside <= {"flukeprint.cli_training"}


def test_plain_folders_are_identified_without_a_catalogue() -> None:
    """The core works on folders alone; only commands know of both."""
    using = {module for module in MODULES if needs(all_imports(module), "flukeprint.catalogue")}
    outside = {module for module in using if not module.startswith("flukeprint.catalogue")}
    assert {module.split(".")[1] for module in outside} <= CATALOGUE_USERS


@pytest.mark.parametrize("module", MODULES)
def test_only_the_command_line_prints(module: str) -> None:
    calls = [node.func for node in ast.walk(parsed(module)) if isinstance(node, ast.Call)]
    printing = any(isinstance(called, ast.Name) and called.id == "print" for called in calls)
    assert not printing or module == "flukeprint.cli"


@pytest.mark.parametrize("module", MODULES)
def test_no_star_imports_and_no_drawer_for_odds_and_ends(module: str) -> None:
    assert not any(name.endswith(".*") for name in all_imports(module))
    assert module.rpartition(".")[2] not in ("utils", "helpers", "common", "misc")


def test_no_import_cycles() -> None:
    graph = {module: imports_when_loaded(module) & set(MODULES) - {module} for module in MODULES}
    while leaves := {module for module, uses in graph.items() if not uses & set(graph)}:
        graph = {module: uses for module, uses in graph.items() if module not in leaves}
    assert graph == {}


def rooms(package: str) -> dict[str, int]:
    """The modules of a package by the row of docs/architecture.md's table that names them.

    A row's first cell names modules, packages (``drawn/``) or all that begin so (``console*``).
    """
    text = (SOURCE.parent / "docs" / "architecture.md").read_text(encoding="utf-8")
    heading = f"Inside `{package.partition('.')[2]}/`" if "." in package else "## The rooms"
    table = text[text.index(heading) :].split("| --- | --- |\n")[1].split("\n\n")[0]
    found: dict[str, int] = {}
    for row, line in enumerate(table.splitlines()):
        for name in line.split("|")[1].split():
            start = f"{package}.{name.strip('`').rstrip('*/')}"
            whole = not name.rstrip("`").endswith("*")
            for module in MODULES:
                if module == start or module.startswith(f"{start}." if whole else start):
                    found.setdefault(module, row)
    return found


@pytest.mark.parametrize("package", ["flukeprint", "flukeprint.catalogue", "flukeprint.training"])
def test_the_rooms_are_in_the_order_in_which_they_import_each_other(package: str) -> None:
    row_of = rooms(package)
    inside = {module for module in MODULES if module.startswith(f"{package}.")}
    assert inside - row_of.keys() <= {"flukeprint.__main__"}
    wrong = {
        (module, used)
        for module in row_of
        for used in imports_when_loaded(module) & row_of.keys()
        if row_of[used] > row_of[module]
    }
    assert wrong == set()


LOADED = """
import sys
from flukeprint import cli
sys.argv = ["flukeprint", *sys.argv[1:]]
try:
    cli.main()
except SystemExit as stop:
    assert not stop.code, stop.code
print(sorted({name.partition(".")[0] for name in sys.modules}), file=sys.stderr)
"""


@pytest.mark.parametrize("command", [[], ["identify"], ["crop"], ["train"], ["evaluate"]])
def test_help_loads_nothing_heavy(command: list[str]) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", LOADED, *command, "--help"],
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "Usage" in ran.stdout
    assert set(ast.literal_eval(ran.stderr.splitlines()[-1])).isdisjoint(HEAVY)
