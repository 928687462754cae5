"""The documents are true: commands run, answers come, names exist, links lead somewhere."""

import contextlib
import importlib.metadata
import io
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from functools import cache, partial
from itertools import pairwise
from pathlib import Path

import facts
import pytest
from call_logs import written_down
from command_line import run_here
from helpers import ROOT, eventually
from processes import ServerProcess, free_port

import config
import phone
from allow_list.rows import COLUMNS
from routing import Reason
from tools import main
from tools.simulation.scenarios import SCENARIOS

README = ROOT / "README.md"
PAGES = [README, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted(ROOT.glob("docs/*.md"))]
TEXTS = {path.relative_to(ROOT).as_posix(): path.read_text() for path in PAGES}
EVERYTHING = "\n".join(TEXTS.values())
FENCED = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)
BLOCKS = [block for text in TEXTS.values() for block in FENCED.findall(text)]
SHELL = [block for kind, block in BLOCKS if kind == "sh"]
SPANS = re.findall(r"`([^`\n]+)`", FENCED.sub("", EVERYTHING))

SOURCES = [*ROOT.glob("*.py"), *ROOT.glob("[a-z]*/**/*.py")]
CODE = "\n".join(
    path.read_text()
    for path in SOURCES
    if path.relative_to(ROOT).parts[0] not in {"tests", "benchmarks", "mutants"}
)
OF_OTHER_PROGRAMS = {
    "--inspect",
    "--system",
    "--home-dir",
    "--shell",
    "--now",
    "--bind",
    "--no-control-socket",
    "--preload",
    "--no-user",
}
# They change the machine, or go on for ever, or their parts are looked at one by one.
NOT_RUN = ("make", "sudo", "ngrok", "cloudflared", "gunicorn", "export", "masked_calls()", "}")
# The end of a constant's name with its value, and what a page says of it.
FIGURES = [
    ("REPEAT_WINDOW_S = 120", "README.md", "within 120 s"),
    ("MAX_STATES = 20_000", "docs/call-log.md", "the last 20,000 calls"),
    ("_LAST = 50", "docs/call-log.md", "Default: 50."),
    ("MAX_DAYS = 400", "docs/call-log.md", "of more than 400 days only those that had one"),
    ("MAX_CALL = timedelta(hours=4, minutes=10)", "docs/call-log.md", "Four hours and ten minutes"),
    ("MAX_BYTES = 32 * 2**20", "docs/call-log.md", "There is room for 32 MB"),
    ("MAX_REWRITTEN = 32 * 2**20", "docs/call-log.md", "In a file over 32 MB"),
    ("TRUSTED_S = 600.0", "docs/call-log.md", "for ten minutes"),
    ("_LAST = 10", "docs/at-two-in-the-morning.md", "the last ten of their own calls"),
    ("MAX_CALLS = 1_000", "docs/unknowns.md", "the newest 1,000 calls"),
    ("LAST_CALLS = 5", "docs/unknowns.md", "what the last five such calls did"),
    ("MOST = 100", "docs/inspect.md", "the last hundred of them"),
    ("KEYS = 10", "docs/deploy.md", "ten at most"),
    ("WAITING_LINES = 4_000", "docs/deploy.md", "up to 4,000 lines wait"),
    ("BODY_BYTES = 65_536", "docs/limits.md", "A body may have 65,536 bytes"),
    ("CONNECTIONS = 2000", "docs/limits.md", "At most 2,000 connections"),
    ("WAITING_REQUESTS = 10", "docs/limits.md", "more than ten requests waiting"),
    ("WRITTEN_S = 1.0", "docs/allow-list.md", "once it has stood still for a second"),
    ("OVERDUE_S = 5.0", "docs/allow-list.md", "for five seconds, `/health` says `stale`"),
    ("SAY_AFTER_S = 3.0", "docs/allow-list.md", "After three seconds it says for whom"),
    ("MAX_WAIT_S = 10.0", "docs/allow-list.md", "After ten it gives up"),
    ("MAX_WAIT_S = 2.0", "docs/allow-list.md", "or took two seconds"),
    ("MAX_WAIT_S = 2.0", "docs/sessions.md", "or after two seconds"),
    ('HEALTH_PATH = "/health"', "docs/deploy.md", "`GET /health`"),
]


def section(page: str, title: str) -> str:
    return TEXTS[page].split(f"\n## {title}\n")[1].split("\n## ")[0]


def rows(text: str) -> list[list[str]]:
    """Return the rows of the tables in a text that begin with a name, as their cells."""
    lines = [line for line in text.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def table(text: str) -> dict[str, str]:
    return {cells[0].strip("`"): cells[1].strip("`") for cells in rows(text)}


def run(folder: Path, *words: str | Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run a Python program as a reader does, where no server runs on the usual port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    variables = {**os.environ, "MASKING_PORT": port, "COLUMNS": "80", **environment}
    return subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )


@cache
def help_of(program: str, *words: str) -> str:
    """Return the help of a program, as a process; of a command, from the parser alone."""
    if not words:
        return run(ROOT, program, "--help").stdout
    with contextlib.redirect_stdout(io.StringIO()) as shown, contextlib.suppress(SystemExit):
        main.main([*words, "--help"])
    return shown.getvalue()


def commands() -> list[str]:
    return re.findall(r"^    ([a-z-]+) +\w", help_of("app.py"), re.MULTILINE)


def make_log(folder: Path, *words: str) -> None:
    """Make a call log that holds a call for each word, which is its id and in its event."""
    with ServerProcess(folder, allow_list=(ROOT / "allowlist.csv").read_text()) as server:
        for word in words:
            event = {"event": "x", "reference_id": word, "data": {"a": word}}
            assert server.deliver(json.dumps(event).encode()) == (200, {})
        assert server.stop() == 0


def test_the_readme_is_short() -> None:
    assert len(TEXTS["README.md"]) <= 10_000


def anchors(path: Path) -> set[str]:
    """Return what the headings of a page can be called in a link, as GitHub makes it."""
    headings = re.findall(r"^#+ (.*)$", FENCED.sub("", path.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(path: Path) -> Iterator[tuple[Path, str]]:
    """Yield the file and the anchor of each link of a page to another or to itself."""
    for target in re.findall(r"\]\(([^)\s]+)\)", FENCED.sub("", path.read_text())):
        if "://" not in target:
            name, _, anchor = target.partition("#")
            yield (path.parent / name).resolve() if name else path, anchor


def test_every_link_leads_somewhere() -> None:
    for page in PAGES:
        for file, anchor in links(page):
            assert file.exists(), (page.name, file)
            assert not anchor or anchor in anchors(file), (page.name, file.name, anchor)


def test_every_page_is_found_from_the_readme() -> None:
    found, new = set[Path](), {README}
    while new:
        found |= new
        new = {file for page in new for file, _ in links(page) if file.suffix == ".md"} - found
    assert set(PAGES) <= found


def test_every_file_that_is_named_exists() -> None:
    layout = section("README.md", "Layout")
    named = re.findall(r"(?<![\w/])(?:[\w-]+/|[\w.-]+\.py\b)", layout.partition("\n[")[0])
    kinds = r"[\w.-]*(?:/[\w.-]+)*(?:\.(?:py|csv|toml|txt|md|conf|service)|/run|/environment|\w/)"
    named += [span for span in SPANS if re.fullmatch(kinds, span) and span[0] != "/"]
    assert len(named) > 30
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_every_make_target_is_named_and_exists() -> None:
    named = set(re.findall(r"(?:`|^)make ([a-z]+)", EVERYTHING, re.MULTILINE))
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert named == targets


def test_the_commands_without_make_are_those_of_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text().replace("$(BIN)", ".venv/bin")
    (plain,) = [block for block in SHELL if "-m venv" in block]
    set_up, start = plain.splitlines()
    assert set_up.endswith("-m pip install --no-user -r requirements.txt")
    assert f"\t{start}\n" in makefile


def test_every_installation_goes_into_the_virtual_environment_whatever_pip_is_set_to() -> None:
    files = ["Makefile", ".ci/run", "serving/prerequisites.py", "requirements-postgresql.txt"]
    texts = EVERYTHING + "".join((ROOT / name).read_text() for name in files)
    options = re.findall(r"\bpip install (\S+)", texts)
    assert len(options) > 5
    assert set(options) == {"--no-user"}


def test_ci_begins_with_the_test_command_of_the_readme() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    commands = [line for line in script.splitlines() if re.search(r"\b(make|pytest|pip)\b", line)]
    assert commands[0] == "env -u TEST_DATABASE_URL -u NOTHING_SKIPPED make test"
    assert "`make test`" in TEXTS["README.md"]


def test_ci_installs_each_program_that_tests_look_for_if_it_lacks_that_very_one() -> None:
    tests = "".join(path.read_text() for path in ROOT.glob("tests/**/*.py"))
    wanted = set(re.findall(r"""\bwhich\(["']([\w-]+)""", tests))
    script = (ROOT / ".ci" / "run").read_text()
    needed = re.findall(r"^need (\S+) \S", script, re.MULTILINE)
    assert {"chromium", "chromedriver"} <= wanted
    assert wanted - {"make", "env", "setpriv"} <= set(needed)  # these are where CI runs


def test_every_module_that_is_run_exists() -> None:
    named = re.findall(r"python -m (benchmarks\.\w+)", EVERYTHING)
    assert named
    assert all((ROOT / f"{name.replace('.', '/')}.py").exists() for name in named)


def test_every_shell_block_is_run_by_a_test_or_known_not_to_be() -> None:
    for block in SHELL:
        subprocess.run(["sh", "-n"], input=block, text=True, check=True)
        for line in re.findall(r"^\S.*$", block, re.MULTILINE):
            is_run = line.startswith(("curl ", "python ", "(umask ", "python3 -m venv", ".venv/"))
            assert is_run or line.startswith((*NOT_RUN, "journalctl")), line


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here")
def test_the_curl_lines_get_the_answers_that_are_shown(tmp_path: Path) -> None:
    shown = [
        (command, answer)
        for (kind, command), (_, answer) in pairwise(BLOCKS)
        if kind == "sh" and command.startswith("curl")
    ]
    assert shown
    with ServerProcess(tmp_path, allow_list=(ROOT / "allowlist.csv").read_text()) as server:
        for command, answer in shown * 2:
            assert "http://127.0.0.1:8080/" in command
            line = command.replace("http://127.0.0.1:8080/", server.url)
            got = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=True)
            assert got.stdout == answer.rstrip("\n")


def test_the_simulator_draws_what_is_shown(tmp_path: Path) -> None:
    def steady(line: str) -> str:
        return re.sub(" +", " ", re.sub(r"[\d.]+ ms", "ms", line)).strip()

    (shown,) = [block for kind, block in BLOCKS if kind == "text" and "incoming_call" in block]
    shutil.copy(ROOT / "allowlist.csv", tmp_path)
    drawn = map(steady, run(tmp_path, ROOT / "simulator.py", "connected").stdout.splitlines())
    for line in map(steady, shown.splitlines()):
        assert line in drawn  # after the one before: what was looked at is gone


def test_the_backup_holds_the_calls(tmp_path: Path) -> None:
    (command,) = [block for block in SHELL if "VACUUM" in block]
    make_log(tmp_path, "one")
    line = command.replace("python ", f"{sys.executable} ")
    subprocess.run(["sh", "-c", line], cwd=tmp_path, check=True)
    (made,) = tmp_path.glob("backup-*.db")
    assert made.stat().st_mode & 0o777 == 0o600
    backup = {"MASKING_CALL_LOG": f"sqlite:///{made}"}
    read = run(tmp_path, ROOT / "app.py", "calls", "--json", **backup)
    assert [call["reference_id"] for call in json.loads(read.stdout)] == ["one"]


def command_lines(program: str) -> list[list[str]]:
    """Return the words of every command line; the dots stand for what a user puts in."""
    named = re.findall(rf"python {program}((?: [^`\n]+)?)[`\n]", EVERYTHING)
    return [shlex.split(words.replace("...", facts.DIALLED)) for words in named]


def test_every_command_line_of_the_app_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_log(tmp_path, "REFERENCE_ID", facts.CALLER)
    shutil.copy(ROOT / "config.toml", tmp_path)
    shutil.copy(ROOT / "allowlist.csv", tmp_path)
    lines = [line for line in command_lines("app.py") if line]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MASKING_VIRTUAL_NUMBERS", "12025550160")
    monkeypatch.setenv("MASKING_PORT", str(free_port()))
    assert {word for line in lines for word in line} >= set(commands())
    for line in lines:
        if line[0] not in {"session", "inspect"}:  # another server, or no end; see their tests
            asks = ["--yes"] if line[0] == "forget" else []
            ended = run_here(capsys, *line, *asks)
            assert ended.returncode == 0, (line, ended.stderr)


def test_every_command_line_of_the_simulator_runs(tmp_path: Path) -> None:
    """Those with `--url` look for a server of the reader's own, and find none."""
    shutil.copy(ROOT / "allowlist.csv", tmp_path)
    for line in command_lines("simulator.py"):
        if "--url" in line:
            line[line.index("--url") + 1] = "http://127.0.0.1:9/"
        if "--api" not in line:  # goes on for ever; see below
            ended = run(tmp_path, ROOT / "simulator.py", *line)
            assert ended.returncode == (1 if "--url" in line else 0), (line, ended.stderr)


def test_every_option_is_named_and_exists() -> None:
    ours = help_of("simulator.py") + "".join(help_of("app.py", command) for command in commands())
    options = set(re.findall(r"--[a-z][a-z-]+", ours + help_of("app.py"))) - {"--help"}
    assert set(re.findall(r"--[a-z][a-z-]+", EVERYTHING)) - OF_OTHER_PROGRAMS == options


def test_the_example_of_a_session_gets_the_answer_that_is_shown(tmp_path: Path) -> None:
    first, second = (block for block in SHELL if "TELESIGN_CUSTOMER_ID=try" in block)
    (shown,) = [block for kind, block in BLOCKS if kind == "text" and "session" in block]
    shutil.copy(ROOT / "allowlist.csv", tmp_path)

    def script(block: str, port: str) -> list[str]:
        text = block.replace("python ", f"exec {sys.executable} {ROOT}/").replace("8081", port)
        return ["sh", "-c", text]

    serving = script(first.replace("--api", "--api --port 0"), "")
    with subprocess.Popen(serving, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as endpoint:
        assert endpoint.stdout is not None
        port = endpoint.stdout.readline().strip().rpartition(":")[2]
        asking = script(second, port)
        made = subprocess.run(asking, cwd=tmp_path, capture_output=True, text=True, check=True)
        endpoint.terminate()

    def steady(text: str) -> str:
        return re.sub("[0-9A-F]{32}", "ID", re.sub(r"until [^(]+ \(", "until (", text))

    assert steady(made.stdout) == steady(shown)


def holds(path: Path, text: str) -> bool:
    return path.exists() and path.read_text() == text


@pytest.mark.faults
def test_the_program_that_follows_the_calls_gets_each_once_though_it_is_killed(
    tmp_path: Path,
) -> None:
    (shown,) = [block for kind, block in BLOCKS if kind == "python" and "--follow" in block]
    program = "def call_is_over(call):\n    print(call['reference_id'], flush=True)\n\n" + shown
    program = program.replace('"app.py"', repr(str(ROOT / "app.py")))
    event = {"event": "call_completed", "data": {}}
    with ServerProcess(tmp_path, allow_list=(ROOT / "allowlist.csv").read_text()) as server:
        for call in "first", "second":
            server.deliver(json.dumps(event | {"reference_id": call}).encode())
            with subprocess.Popen(
                [sys.executable, "-c", program], cwd=tmp_path, stdout=subprocess.PIPE, text=True
            ) as running:
                assert running.stdout is not None
                assert running.stdout.readline() == f"{call}\n"
                number = str(written_down(f"sqlite:///{tmp_path}/calls.db")[-1].number)
                assert eventually(partial(holds, tmp_path / "last-call", number))
                running.kill()


def test_the_table_of_scenarios_is_whole() -> None:
    listed = table(TEXTS["docs/simulator.md"].partition("\n## ")[0])
    assert listed == {scenario.name: scenario.sentence for scenario in SCENARIOS.values()}


def test_the_tables_of_settings_are_true_and_one_is_whole() -> None:
    defaults = config.Settings()
    values = {name: getattr(defaults, name) for name in config.NAMES}
    true = {
        name: str(value).lower() if isinstance(value, bool) else str(value or "")
        for name, value in values.items()
    }
    assert list(table(TEXTS["docs/settings.md"]).items()) == list(true.items())
    assert table(section("README.md", "Settings that people change")).items() <= true.items()


def test_every_variable_that_is_named_exists() -> None:
    named = set(re.findall(r"\b(?:MASKING|TELESIGN)_[A-Z_]+\b", EVERYTHING))
    known = {f"MASKING_{name.upper()}" for name in config.NAMES}
    assert named <= known | {config.CUSTOMER_ID, config.API_KEY}


def test_the_table_of_columns_is_whole_and_the_samples_have_no_fault(tmp_path: Path) -> None:
    assert tuple(table(TEXTS["docs/rows.md"])) == COLUMNS
    samples = [block for kind, block in BLOCKS if kind == "csv"]
    assert len(samples) == 2
    for sample in samples:
        (tmp_path / "allowlist.csv").write_text(sample)
        checked = run(tmp_path, ROOT / "app.py", "check")
        assert (checked.returncode, checked.stderr) == (0, "")


def test_the_table_of_reasons_is_whole() -> None:
    assert list(table(section("docs/deploy.md", "What it logs"))) == list(Reason)


@pytest.mark.parametrize(("code", "page", "words"), FIGURES)
def test_a_figure_is_that_of_the_code(code: str, page: str, words: str) -> None:
    assert re.search(rf"^\w*{re.escape(code)}(?!\w)", CODE, re.MULTILINE)
    assert words in " ".join(TEXTS[page].split())


def test_every_package_is_named_with_its_reason() -> None:
    files = "".join(path.read_text() for path in ROOT.glob("requirements*.txt"))
    required = set(re.findall(r"^([a-z0-9-]+)(?:\[.*\])?==", files, re.MULTILINE))
    named = rows(section("README.md", "Dependencies"))
    named += rows(section("CONTRIBUTING.md", "Packages for development"))
    reasons = set(re.findall("`([a-z-]+)`", " ".join(cells[0] for cells in named)))
    assert reasons <= required
    assert required - reasons <= brought_along(required)


def brought_along(packages: set[str]) -> set[str]:
    """Return which packages others of them need, and so need no reason of their own.

    What an extra of a package needs does not count, unless it is a part of that package.
    """
    wanted: set[str] = set()
    for package in packages:
        try:
            requires = importlib.metadata.requires(package) or []
        except importlib.metadata.PackageNotFoundError:  # not everybody has all of them
            continue
        always = [one for one in requires if "extra" not in one or one.startswith(package)]
        names = (re.split("[^A-Za-z0-9_-]", one)[0] for one in always)
        wanted |= {name.lower().replace("_", "-") for name in names}
    return wanted


def test_no_number_in_code_and_documents_could_be_somebodys() -> None:
    for path in [*ROOT.glob("*.*"), *SOURCES, *PAGES]:
        if path.suffix in {".md", ".csv", ".toml", ".py"} and "tests" not in path.parts:
            found = re.findall(r"\b1\d{10}\b", path.read_text())
            assert [number for number in found if not phone.is_fictional(number)] == []
