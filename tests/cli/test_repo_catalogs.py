"""`outcrop repo catalogs`: the drawing, what is said of it, and how it fits a terminal."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable

import pytest

from outcrop.cli.catalog_drawing import drawing
from outcrop.cli.terminal import uncoloured, width
from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.paths import RepositoryPath
from outcrop.stratum0.catalogs.catalog_overview import CatalogKind, CatalogSummary, Verdict
from tests.cli.conftest import CommandLine
from tests.cli.revisions import FAR_DAYS
from tests.stratum0.conftest import NAME, Publisher, new_publisher, test_keys
from tests.stratum0.settling import SMALL, SettledRepository, files

__all__ = ["new_publisher", "test_keys"]


@pytest.fixture
def repository(new_publisher: Callable[..., Publisher], home: object) -> SettledRepository:
    limits = {"maximum_catalog_entries": SMALL.maximum, "minimum_catalog_entries": SMALL.minimum}
    publisher = new_publisher(whitelist_days=FAR_DAYS, **limits)
    os.environ["OUTCROP_DATA_DIR"] = str(publisher.directory)
    return SettledRepository(publisher)


def tree_part(out: str) -> list[str]:
    """The drawing without its headings and numbers."""
    return [re.sub(r" {2,}[0-9].*", "", line) for line in out.splitlines()[1:]]


def test_the_tree_is_drawn(outcrop: CommandLine, repository: SettledRepository) -> None:
    paths = [*files("/a/x", 9), *files("/b", 9), b"/a/x/m/.cvmfscatalog", *files("/c", 1)]
    repository.put(*paths)
    done = outcrop("repo", "catalogs", NAME)
    assert done.code == 0
    lines = done.out.splitlines()
    assert lines[0].split() == ["CATALOG", "ENTRIES", "BELOW", "DATABASE", "CONTENTS", "KIND"]
    assert tree_part(done.out) == ["/", "├─ a", "│  └─ x/m", "└─ b"]
    assert lines[1].split()[1:3] == ["5", "28"]
    assert lines[2].split()[-1] == "automatic"
    assert lines[3].endswith("marker     small")
    assert done.err.splitlines()[0].startswith("4 catalogs, 30 entries, ")
    assert done.err.splitlines()[0].endswith(": 1 small")
    assert "take away `/a/x/m/.cvmfscatalog`" in done.err


def test_what_is_too_large_comes_with_the_rules_that_split_it(
    outcrop: CommandLine, repository: SettledRepository
) -> None:
    repository.limits = None
    repository.put(*[path for number in range(12) for path in files(f"/s/{number:02}/d", 9)], *files("/flat", 40))
    done = outcrop("repo", "catalogs", NAME)
    assert done.out.splitlines()[1].endswith("large")
    assert "1 large" in done.err
    assert "these lines in /.cvmfsdirtab" in done.err
    assert done.err.endswith(":\n  /flat\n  /s\n  /s/*\n")


def test_json_has_everything(outcrop: CommandLine, repository: SettledRepository) -> None:
    repository.put(*files("/a", 9), *files("/b", 9), *files("/c", 3))
    document = json.loads(outcrop("repo", "catalogs", NAME, "--json").out)
    assert (document["repository"], document["revision"]) == (NAME, 2)
    root, inner, _ = document["catalogs"]
    assert (root["path"], root["kind"], root["level"], root["verdict"], root["catalogs_below"]) == (
        "/",
        "root",
        0,
        None,
        2,
    )
    assert (inner["path"], inner["kind"], inner["entries"], inner["entries_below"]) == ("/a", "automatic", 12, 0)
    assert inner["content_bytes"] == 72
    assert inner["database_bytes"] > 0


def test_a_depth_a_path_and_a_revision(outcrop: CommandLine, repository: SettledRepository) -> None:
    repository.put(b"/a/.cvmfscatalog", b"/a/b/.cvmfscatalog", b"/a/b/c/.cvmfscatalog")
    repository.put(b"/z/.cvmfscatalog")
    assert tree_part(outcrop("repo", "catalogs", NAME, "--depth", "1").out) == [
        "/",
        "├─ a",
        "│  └─ … 2 more catalogs",
        "└─ z",
    ]
    assert tree_part(outcrop("repo", "catalogs", NAME, "--path", "a/b/").out) == ["/a/b", "└─ c"]
    assert tree_part(outcrop("repo", "catalogs", NAME, "--revision", "2").out)[-1] == "      └─ c"
    assert tree_part(outcrop("repo", "catalogs", NAME, "--revision", "1").out) == ["/"]


@pytest.mark.parametrize("arguments", [["--path", "/nowhere"], ["--revision", "9"], ["--depth", "-1"]])
def test_what_is_not_there_is_said(outcrop: CommandLine, repository: SettledRepository, arguments: list[str]) -> None:
    assert repository.publisher.storage.is_dir()
    done = outcrop("repo", "catalogs", NAME, *arguments)
    assert done.code != 0
    assert done.out == ""
    assert "hint: " in done.err


def summary(path: bytes, level: int, verdict: Verdict = Verdict.FINE, below: int = 0) -> CatalogSummary:
    return CatalogSummary(
        path=RepositoryPath(path),
        level=level,
        digest=Digest.of(path),
        kind=CatalogKind.AUTOMATIC if level else CatalogKind.ROOT,
        verdict=verdict,
        entries=123_456,
        entries_below=1_234_567 if below else 0,
        catalogs_below=below,
        database_bytes=45_600_000,
        content_bytes=7_890_000_000,
        content_bytes_below=0,
    )


LONG = [
    summary(b"", 0, below=5),
    summary(b"/versions/2026.06", 1, below=2),
    summary(b"/versions/2026.06/software/linux/x86_64/intel/skylake_avx512", 2, Verdict.LARGE),
    summary("/versions/2026.06/software/目録/\x1b[31m".encode(), 2),
    summary(b"/versions/2026.07/\xff", 1, Verdict.TOO_LARGE),
    summary(b"/z", 1, Verdict.SMALL),
]


@pytest.mark.parametrize("columns", range(40, 140))
def test_no_line_is_wider_than_the_terminal(columns: int) -> None:
    lines = [uncoloured(line) for line in drawing(LONG, columns, None)]
    assert max(map(width, lines)) <= columns
    assert len(lines) == len(LONG) + 1
    assert "large" in lines[3]


def test_numbers_make_way_before_paths_become_unreadable() -> None:
    headings = {columns: uncoloured(drawing(LONG, columns, None)[0]).split()[1:] for columns in (200, 70, 45)}
    assert headings[200] == ["ENTRIES", "BELOW", "DATABASE", "CONTENTS", "KIND"]
    assert headings[45] == ["ENTRIES"]
    assert len(headings[45]) < len(headings[70]) < len(headings[200])


def test_names_cannot_steer_the_terminal_and_lines_stay_aligned() -> None:
    lines = [uncoloured(line) for line in drawing(LONG, None, None)]
    assert not any("\x1b" in line for line in lines)
    ends = {width(line[: line.index("123,456")]) for line in lines[1:]}
    assert len(ends) == 1


def test_a_tree_deeper_than_the_terminal_keeps_the_names() -> None:
    deep = [summary(b"/d" * level, level) for level in range(30)]
    lines = [uncoloured(line) for line in drawing(deep, 60, None)]
    assert max(map(width, lines)) <= 60
    assert all("d  " in line for line in lines[2:])


def test_a_long_path_keeps_its_end() -> None:
    line = uncoloured(drawing(LONG, 60, None)[3])
    assert line.startswith("│  ├─ …")
    assert "skylake_avx512" in line
