"""The house: which folder may import which, and that every room stays small."""

import ast
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from helpers import ROOT

MAX_FILES, MAX_LINES = 9, 330

BOTTLE = {"bottle"}
NET = {"http", "requests", "select", "socket", "urllib3", "waitress", "wsgiref"}
FILES = {"io", "os", "pathlib", "shutil", "sqlite3", "subprocess", "tempfile"}
CLOCKS = {"time", "sched"}
THREADS = {"asyncio", "concurrent", "multiprocessing", "queue", "signal", "threading"}

CORE = {"calls", "commands", "config", "events", "phone", "routing", "signature"}
TOP = CORE | {"app", "simulator"}
FOLDERS = {"allow_list", "call_log", "cli", "insight", "inspector", "serving", "simulation"}
ROOMS = FOLDERS | {"call_log/reading", "cli/history"}


@dataclass(frozen=True)
class Layer:
    """What the files of a folder may import of ours, and what they never import of others'."""

    ours: set[str]
    never: set[str]


LAYERS = {
    "core": Layer(CORE, BOTTLE | NET | FILES | CLOCKS | THREADS | {"logging"}),
    "allow_list": Layer(CORE | {"allow_list"}, BOTTLE | NET),
    "call_log": Layer(CORE | {"call_log"}, BOTTLE | (NET - {"socket"})),
    "serving": Layer(CORE | {"serving"}, BOTTLE | {"sqlite3", "psycopg", "requests"}),
    "app": Layer(CORE | {"allow_list", "call_log", "serving", "cli"}, NET | {"sqlite3", "psycopg"}),
    "cli": Layer(CORE | FOLDERS - {"simulation"} | {"app"}, BOTTLE | {"sqlite3", "psycopg"}),
    "cli/history": Layer(
        CORE | {"allow_list", "app", "call_log", "cli", "insight"}, BOTTLE | {"sqlite3", "psycopg"}
    ),
    "insight": Layer(
        CORE | {"allow_list", "call_log", "insight"}, BOTTLE | NET | FILES | CLOCKS | THREADS
    ),
    "inspector": Layer(
        CORE | {"allow_list", "call_log", "cli.console", "cli.history", "insight", "inspector"},
        NET | {"sqlite3", "psycopg"} | CLOCKS | THREADS,
    ),
    "simulation": Layer(
        {"signature", "simulation", "cli.console", "cli.http_client"}, BOTTLE | {"waitress"}
    ),
    "simulator": Layer(
        {"signature", "simulation", "cli.console", "cli.http_client", "cli.prerequisites"},
        BOTTLE | {"waitress"},
    ),
}


def files(layer: str) -> list[Path]:
    """Return the files of a layer: a folder, the core, or one file at the top."""
    if layer == "core":
        return [ROOT / f"{name}.py" for name in sorted(CORE)]
    return sorted((ROOT / layer).glob("*.py")) if layer in ROOMS else [ROOT / f"{layer}.py"]


def imports(file: Path) -> set[str]:
    """Return what a file imports, wherever in it: of a folder of ours `folder.file`."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            is_folder = module in FOLDERS
            found |= {f"{module}.{alias.name}" for alias in node.names} if is_folder else {module}
    return found


def is_allowed(name: str, allowed: set[str]) -> bool:
    """Whether a name, or a folder that it is in, may be imported."""
    return any(name == each or name.startswith(f"{each}.") for each in allowed)


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_imports_only_what_it_may(layer: str) -> None:
    rules = LAYERS[layer]
    for file in files(layer):
        found = imports(file)
        ours = {each for each in found if each.partition(".")[0] in TOP | FOLDERS}
        assert {each for each in ours if not is_allowed(each, rules.ours)} == set(), file
        assert {each.partition(".")[0] for each in found} & rules.never == set(), file


def test_the_web_app_loads_the_command_line_only_as_a_program() -> None:
    tree = ast.parse((ROOT / "app.py").read_text())
    outside = [node for node in tree.body if not isinstance(node, ast.If)]
    names = [ast.unparse(node) for each in outside for node in ast.walk(each)
             if is_import(node)]  # fmt: skip
    assert not [name for name in names if "cli" in name.split()]


def test_only_the_command_loads_the_inspector_and_only_when_it_runs() -> None:
    for layer in LAYERS.keys() - {"inspector"}:
        for file in files(layer):
            top = [node for node in ast.parse(file.read_text()).body if is_import(node)]
            assert "inspector" not in "\n".join(map(ast.unparse, top)), file
            may = file.parent.name == "cli"
            assert may or not any(each.startswith("inspector") for each in imports(file)), file


def is_import(node: ast.AST) -> bool:
    return isinstance(node, ast.Import | ast.ImportFrom)


def test_the_house_has_these_rooms_and_no_other() -> None:
    assert {path.stem for path in ROOT.glob("*.py")} == TOP
    others = {"tests", "benchmarks"}
    assert {path.parent.name for path in ROOT.glob("*/*.py")} - others == FOLDERS


@pytest.mark.parametrize("folder", sorted(ROOMS))
def test_a_folder_is_small_and_importing_one_file_loads_one_file(folder: str) -> None:
    inside = files(folder)
    assert len([each for each in inside if each.name != "__init__.py"]) <= MAX_FILES
    assert (ROOT / folder / "__init__.py").read_text() == ""


@pytest.mark.parametrize("layer", LAYERS)
def test_no_file_is_long(layer: str) -> None:
    lengths = {file.name: len(file.read_text().splitlines()) for file in files(layer)}
    assert {name: length for name, length in lengths.items() if length > MAX_LINES} == {}


def test_no_file_at_the_top_hides_an_installed_or_a_standard_module() -> None:
    installed = Path(sys.prefix) / "lib"
    for name in TOP | FOLDERS:
        assert name not in sys.stdlib_module_names
        packages = f"python*/site-packages/{name}"
        assert [*installed.glob(packages), *installed.glob(f"{packages}.py")] == []


def test_no_test_file_imports_from_another() -> None:
    for file in ROOT.glob("tests/**/*.py"):
        taken = {each for each in imports(file) if each.startswith(("test_", "conftest"))}
        assert taken == set(), file
