"""`outcrop trace`, and packs of what it recorded."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import CommandLine
from tests.cli.reading import arguments
from tests.client.published import FILE, NAME, Published, directory_entry, link_entry

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed"),
]


@pytest.fixture
def seen(tmp_path: Path) -> Path:
    """A tree as a mount would show it."""
    tree = tmp_path / "cvmfs" / NAME
    (tree / "shelf").mkdir(parents=True)
    (tree / "shelf" / "one").write_bytes(b"1")
    return tree


def test_trace_is_written_and_told_of(outcrop: CommandLine, seen: Path, tmp_path: Path) -> None:
    output = tmp_path / "trace.jsonl"
    script = f"cat {seen}/shelf/one {seen}/two 2>/dev/null >/dev/null; exit 4"
    answer = outcrop("trace", "-o", str(output), "--below", str(seen.parent), "--", "sh", "-c", script)
    assert answer.code == 4
    assert f"{output}: 1 paths of {NAME}, 1 of them read; 1 were looked for and are not there" in answer.err
    lines = [json.loads(line) for line in output.read_text().splitlines()]
    assert {"repository": NAME, "path": "/shelf/one", "kind": "open", "found": True} in lines
    assert {"repository": NAME, "path": "/two", "kind": "open", "found": False} in lines


def test_one_repository_where_it_is_mounted(outcrop: CommandLine, seen: Path, tmp_path: Path) -> None:
    output = tmp_path / "trace.jsonl"
    answer = outcrop(
        "trace", "--json", "-o", str(output), "--below", str(seen), "--repository", "other.example.org",
        "--", "sh", "-c", f"cat {seen}/shelf/one >/dev/null",
    )  # fmt: skip
    document = json.loads(answer.out)
    assert (document["repositories"], document["read"], document["exit_code"]) == (["other.example.org"], 1, 0)


def test_program_that_reads_nothing_of_a_repository_is_told_of(outcrop: CommandLine, tmp_path: Path) -> None:
    answer = outcrop("trace", "-o", str(tmp_path / "t"), "--below", str(tmp_path / "no"), "--", "true")
    assert answer.code == 0
    assert "was read" in answer.err
    assert (tmp_path / "t").read_bytes() == b""


def test_plan_runs_nothing(outcrop: CommandLine, tmp_path: Path) -> None:
    answer = outcrop("trace", "-o", str(tmp_path / "t"), "--dry-run", "--", "touch", str(tmp_path / "made"))
    assert "would run" in answer.out
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("options", [[], ["--json"], ["--dry-run"]])
def test_trace_does_not_mix_with_what_the_program_says(
    outcrop: CommandLine, tmp_path: Path, options: list[str]
) -> None:
    answer = outcrop("trace", "-o", "-", *options, "--", "touch", str(tmp_path / "made"))
    assert (answer.code, answer.out) == (2, "")
    assert "hint: name a file with `-o FILE`" in answer.err
    assert os.listdir(tmp_path) == []


def test_program_must_be_named(outcrop: CommandLine) -> None:
    assert outcrop("trace").code == 2


def test_place_of_the_trace_is_checked_before_the_run(outcrop: CommandLine, tmp_path: Path) -> None:
    answer = outcrop("trace", "-o", str(tmp_path / "no" / "t"), "--", "touch", str(tmp_path / "made"))
    assert answer.code == 1
    assert os.listdir(tmp_path) == []


def toolbox() -> Published:
    """A repository with a small program in two files, a link to it, and something that it never reads."""
    published = Published()
    entries = {
        b"/bin": directory_entry(b"bin"),
        b"/bin/tool": published.file(b"tool", TOOL.encode(), mode=FILE | 0o111),
        b"/lib": directory_entry(b"lib"),
        b"/lib/words.py": published.file(b"words.py", b"GREETING = 'from the pack'\n"),
        b"/lib/unused.py": published.file(b"unused.py", b"1\n"),
        b"/latest": link_entry(b"latest", b"bin/tool"),
    }
    return published.sign(published.catalog(entries))


TOOL = """#!/bin/sh
here=$(dirname "$(dirname "$(readlink -f "$0")")")
exec "$PYTHON" -B -c "import sys; sys.path.insert(0, '$here/lib'); import words; print(words.GREETING)"
"""


def test_traced_program_runs_from_its_pack_without_anything_else(outcrop: CommandLine, tmp_path: Path) -> None:
    os.environ["PYTHON"] = sys.executable
    repository, *key = arguments(tmp_path, toolbox())
    seen = tmp_path / "cvmfs" / NAME
    seen.parent.mkdir()
    assert outcrop("checkout", repository, str(seen), *key).code == 0
    trace, pack = tmp_path / "trace.jsonl", tmp_path / "pack"
    traced = outcrop("trace", "-o", str(trace), "--below", str(seen.parent), "--", str(seen / "latest"))
    assert traced.code == 0
    packed = outcrop("pack", repository, "--trace", str(trace), "-o", str(pack), *key)
    assert packed.code == 0, packed.err
    shutil.rmtree(tmp_path / "some server")
    shutil.rmtree(seen)
    top = pack / "cvmfs" / NAME
    assert subprocess.check_output([top / "latest"], text=True) == "from the pack\n"
    assert sorted(os.listdir(top / "lib")) == ["words.py"]
    del os.environ["PYTHON"]
