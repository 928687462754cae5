"""The house: which folder may import which. The server needs nothing of the tools."""

import ast
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from helpers import ROOT

BOTTLE = {"bottle"}
NET = {"http", "requests", "select", "socket", "urllib3", "waitress", "wsgiref"}
FILES = {"io", "os", "pathlib", "shutil", "sqlite3", "subprocess", "tempfile"}
CLOCKS = {"time", "sched"}
THREADS = {"asyncio", "concurrent", "multiprocessing", "queue", "signal", "threading"}
DATABASES = {"sqlite3", "psycopg"}

CORE = {"calls", "commands", "config", "events", "phone", "records", "routing", "signature"}
TOP = CORE | {"app", "simulator"}
SERVER = {"allow_list", "call_log", "serving"}
ROOMS = {"commands", "history", "inspector", "list_advice", "list_editor", "simulation"}
FOLDERS = SERVER | {"tools"} | {f"tools/{room}" for room in ROOMS}


@dataclass(frozen=True)
class Layer:
    """What the files of a folder may import of ours, and what they never import of others'."""

    ours: set[str]
    never: set[str]


LAYERS = {
    "core": Layer(CORE, BOTTLE | NET | FILES | CLOCKS | THREADS | {"logging"}),
    "allow_list": Layer(CORE | {"allow_list"}, BOTTLE | NET),
    "call_log": Layer(CORE | {"call_log"}, BOTTLE | (NET - {"socket"})),
    "serving": Layer(CORE | SERVER, BOTTLE | DATABASES | {"requests"}),
    "app": Layer(CORE | SERVER | {"tools.main"}, NET | DATABASES),
    "tools": Layer(CORE | SERVER | {"tools"}, BOTTLE | DATABASES),
    "tools/commands": Layer(CORE | SERVER | {"tools"}, BOTTLE | DATABASES),
    "tools/history": Layer(
        CORE
        | {"allow_list", "call_log", "serving.sources", "tools.console", "tools.history"}
        | {"tools.list_advice"},
        BOTTLE | NET | CLOCKS | THREADS | DATABASES,
    ),
    "tools/list_advice": Layer(
        CORE | {"allow_list", "tools.list_advice"}, BOTTLE | NET | FILES | CLOCKS | THREADS
    ),
    "tools/list_editor": Layer(
        CORE | {"allow_list", "tools.list_editor"}, BOTTLE | NET | DATABASES | CLOCKS | THREADS
    ),
    "tools/inspector": Layer(
        CORE
        | {"allow_list", "tools.arguments", "tools.console", "tools.history", "tools.inspector"}
        | {"tools.list_advice"},
        NET | DATABASES | CLOCKS | THREADS,
    ),
    "tools/simulation": Layer(
        {"signature", "tools.simulation", "tools.console", "tools.http_client"},
        BOTTLE | {"waitress"},
    ),
    "simulator": Layer(
        {"signature", "serving.prerequisites", "tools.simulation", "tools.console"}
        | {"tools.http_client"},
        BOTTLE | {"waitress"},
    ),
}


def files(layer: str) -> list[Path]:
    """Return the files of a layer: a folder, the core, or one file at the top."""
    if layer == "core":
        return [ROOT / f"{name}.py" for name in sorted(CORE)]
    return sorted((ROOT / layer).glob("*.py")) if layer in FOLDERS else [ROOT / f"{layer}.py"]


def imports(file: Path, *, at_the_top: bool = False) -> set[str]:
    """Return what a file imports, wherever in it or at its top: of a package `package.file`."""
    tree = ast.parse(file.read_text())
    found = set()
    for node in tree.body if at_the_top else ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            is_package = (ROOT / module.replace(".", "/")).is_dir()
            found |= {f"{module}.{alias.name}" for alias in node.names} if is_package else {module}
    return found


def is_allowed(name: str, allowed: set[str]) -> bool:
    """Whether a name, or a folder that it is in, may be imported."""
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in allowed)


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_imports_only_what_it_may(layer: str) -> None:
    rules = LAYERS[layer]
    for file in files(layer):
        found = imports(file)
        ours = {name for name in found if name.partition(".")[0] in TOP | FOLDERS}
        assert {name for name in ours if not is_allowed(name, rules.ours)} == set(), file
        assert {name.partition(".")[0] for name in found} & rules.never == set(), file


def test_nothing_of_the_server_imports_a_tool() -> None:
    for layer in {"core", *SERVER}:
        for file in files(layer):
            assert not [name for name in imports(file) if is_allowed(name, {"tools"})], file
    assert not [
        name for name in imports(ROOT / "app.py", at_the_top=True) if is_allowed(name, {"tools"})
    ]


def test_no_command_is_imported_but_by_name() -> None:
    for layer in LAYERS:
        for file in files(layer):
            assert not [name for name in imports(file) if is_allowed(name, {"tools.commands"})], (
                file
            )


def test_the_web_app_is_imported_by_nothing_and_so_never_loaded_twice() -> None:
    for layer in LAYERS:
        for file in files(layer):
            assert "app" not in imports(file), file


def loaded_after(*words: str, folder: Path) -> set[str]:
    """Return which modules of ours the program has loaded, once it has run these words."""
    code = (
        "import runpy, sys\n"
        f"sys.argv[1:] = {list(words)!r}\n"
        "try:\n"
        f"    runpy.run_path({str(ROOT / 'app.py')!r}, run_name='__main__')\n"
        "finally:\n"
        "    print(*sys.modules, file=sys.stderr)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    ours = TOP | {folder.partition("/")[0] for folder in FOLDERS}
    return {name for name in ended.stderr.split() if name.partition(".")[0] in ours}


def test_the_server_loads_no_tool_and_a_command_no_web_app(tmp_path: Path) -> None:
    server = loaded_after("--config", "missing.toml", folder=tmp_path)
    assert "serving.server" in server
    assert not [name for name in server if name.startswith("tools")]
    command = loaded_after("explain", "--from", "", "--to", "1", folder=tmp_path)
    assert "tools.commands.explain" in command
    assert "app" not in command


def test_the_house_has_these_rooms_and_no_other() -> None:
    assert {path.stem for path in ROOT.glob("*.py")} == TOP
    found = {path.parent.relative_to(ROOT).as_posix() for path in ROOT.glob("*/*.py")}
    found |= {path.parent.relative_to(ROOT).as_posix() for path in ROOT.glob("tools/*/*.py")}
    assert found - {"tests", "benchmarks"} == FOLDERS


@pytest.mark.parametrize("folder", sorted(FOLDERS))
def test_importing_one_file_loads_one_file(folder: str) -> None:
    assert (ROOT / folder / "__init__.py").read_text() == ""


def test_no_two_files_have_one_name_but_those_that_are_named_by_their_command() -> None:
    layers = LAYERS.keys() - {"tools/commands"}
    names = [file.name for layer in layers for file in files(layer) if file.name != "__init__.py"]
    assert sorted(names) == sorted(set(names))


def test_no_file_at_the_top_hides_an_installed_or_a_standard_module() -> None:
    installed = Path(sys.prefix) / "lib"
    for name in TOP | SERVER | {"tools"}:
        assert name not in sys.stdlib_module_names
        packages = f"python*/site-packages/{name}"
        assert [*installed.glob(packages), *installed.glob(f"{packages}.py")] == []


def test_no_test_file_imports_from_another() -> None:
    for file in ROOT.glob("tests/**/*.py"):
        names = {name for name in imports(file) if name.startswith(("test_", "conftest"))}
        assert names == set(), file
