"""What holds for the tree as a whole: its files, its documentation, its manners at start-up."""

from __future__ import annotations

import ast
import importlib
import os
import re
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from outcrop import __version__, errors
from provision.packages import PackageManager, read_list

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "outcrop"
MODULES = sorted(SOURCE.rglob("*.py"))

LONGEST_README_LINES = 150
LONGEST_MODULE_LINES = 600
"""What is longer holds two ideas."""

START_UP_SECONDS = 0.060
"""What `outcrop --version` may cost on top of Python itself."""

# A letter in brackets keeps this file from holding what it looks for.
REGISTRY_HOSTS = re.compile(
    r"\b(pypi\.[o]rg|pypi\.[p]ython\.org|[p]ythonhosted\.org|deb\.[d]ebian\.org|registry\.[n]pmjs\.org|proxy\.[g]olang\.org)"
)
BUILD_PATHS = re.compile(r"(?<![\w.])/(?:work|opt/wheels|opt/pypi|root/\.pyenv|home/[a-z]+)/")
SECRETS = re.compile(
    r"AKIA[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{36}|xox[abp]-[0-9A-Za-z-]{10,}|-----BEGIN OPENSSH " + "PRIVATE"
)


def tracked_files() -> list[Path]:
    """The files of the tree that git knows or would add."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listing.returncode:
        pytest.skip("not a git work tree")
    return [path for name in listing.stdout.split(b"\0") if name and (path := ROOT / os.fsdecode(name)).is_file()]


def lines_that_match(pattern: re.Pattern[str], allowed: Callable[[Path], bool] = lambda _path: False) -> list[str]:
    """Where `pattern` occurs in text files of the tree, as `file:line: what`."""
    found = []
    for path in tracked_files():
        content = path.read_bytes()
        if b"\0" in content or allowed(path.relative_to(ROOT)):
            continue
        for number, line in enumerate(content.decode("utf-8", "replace").splitlines(), 1):
            if match := pattern.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {match.group()}")
    return found


def test_readme_can_be_read_in_one_go() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(readme.splitlines()) < LONGEST_README_LINES
    assert "make demo" in readme
    assert "make test" in readme


def test_links_of_the_readme_lead_somewhere() -> None:
    links = re.findall(r"\]\((?!http)([^)#]+)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_changelog_has_this_version() -> None:
    assert f"{__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_licence_is_whole() -> None:
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text


def test_no_registry_is_named() -> None:
    assert lines_that_match(REGISTRY_HOSTS) == []


def test_no_path_of_a_build_machine_is_named() -> None:
    assert lines_that_match(BUILD_PATHS) == []


def test_no_secret_is_in_the_tree() -> None:
    assert lines_that_match(SECRETS) == []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_module_holds_one_idea(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST_MODULE_LINES


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_module_imports_and_says_what_it_is(path: Path) -> None:
    name = ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts).removesuffix(".__init__")
    if name.endswith("easybuild_hooks"):
        pytest.importorskip("easybuild.framework")
    assert importlib.import_module(name).__doc__


def test_only_the_command_line_prints() -> None:
    printing = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in MODULES
        if SOURCE / "cli" not in path.parents
        for node in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert printing == []


def test_version_costs_little_more_than_python_itself() -> None:
    def seconds(*command: str) -> float:
        began = time.perf_counter()
        subprocess.run([sys.executable, *command], check=True, capture_output=True)
        return time.perf_counter() - began

    # In turns and the best of many: whatever else the machine does then counts for neither side.
    rounds = [(seconds("-c", "pass"), seconds("-m", "outcrop", "--version")) for _ in range(15)]
    bare, ours = (min(column) for column in zip(*rounds, strict=True))
    assert ours - bare < START_UP_SECONDS


def test_every_page_of_the_documentation_can_be_reached() -> None:
    def pages(nav: object) -> set[str]:
        if isinstance(nav, str):
            return {nav}
        children = nav.values() if isinstance(nav, dict) else nav
        assert not isinstance(children, (str, type(None)))
        return {page for child in children for page in pages(child)}  # type: ignore[attr-defined]

    settings = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    unlisted = {line.strip("/") for line in settings["not_in_nav"].split()}
    there = {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")}
    assert there - unlisted == pages(settings["nav"])


def test_every_decision_is_in_the_list_of_decisions() -> None:
    adr = ROOT / "docs" / "adr"
    listed = re.findall(r"\((\d{4}-[\w-]+\.md)\)", (adr / "index.md").read_text(encoding="utf-8"))
    assert listed == sorted(path.name for path in adr.glob("[0-9]*.md"))


def test_every_decision_says_what_would_change_it() -> None:
    for path in (ROOT / "docs" / "adr").glob("[0-9]*.md"):
        text = path.read_text(encoding="utf-8")
        for part in ("Context", "Decision", "Alternatives", "What would change it"):
            assert f"**{part}.**" in text, path.name


def test_every_dependency_has_its_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    groups = [
        project["build-system"]["requires"],
        project["project"]["dependencies"],
        *project["project"]["optional-dependencies"].values(),
        *project["dependency-groups"].values(),
    ]
    wanted = {re.split(r"[<>=!~\[; ]", requirement)[0].lower() for group in groups for requirement in group}
    table = (ROOT / "docs" / "adr" / "0016-dependencies.md").read_text(encoding="utf-8")
    reasons = {row[0]: row[1:] for row in re.findall(r"^\| `([\w-]+)` \|(.+)\|(.+)\|(.+)\|$", table, re.MULTILINE)}
    assert set(reasons) == wanted
    assert all(cell.strip() for cells in reasons.values() for cell in cells)


def error_classes(base: type[errors.OutcropError] = errors.OutcropError) -> list[type[errors.OutcropError]]:
    """Every error class that `outcrop.errors` defines."""
    return [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, base)]


def test_every_exit_code_is_documented() -> None:
    text = (ROOT / "docs" / "reference" / "exit-codes.md").read_text(encoding="utf-8")
    documented = {
        name: int(code)
        for code, names in re.findall(r"^\| (\d+) \| (`[^|]+) \|", text, re.MULTILINE)
        for name in re.findall(r"\w+", names)
    }
    assert documented == {kind.__name__: kind.exit_code for kind in error_classes()}


def test_every_system_package_is_documented() -> None:
    text = (ROOT / "docs" / "reference" / "system-packages.md").read_text(encoding="utf-8")
    for package in read_list((ROOT / "provision" / "system-packages.toml").read_text(encoding="utf-8")):
        assert f"| {package.name} | {package.purpose} | {package.without} |" in text, package.name
        names = " ".join(f"`{name}`" for name in package.names[PackageManager.APT])
        assert f"| {package.name} | {names} |" in text, package.name
