"""`outcrop pack`"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import CommandLine
from tests.cli.reading import arguments
from tests.client.published import CONTENTS, NAME


def test_paths_are_packed_and_checked(outcrop: CommandLine, tmp_path: Path) -> None:
    repository, *key = arguments(tmp_path)
    output = tmp_path / "x.tar"
    answer = outcrop("pack", repository, "/shelf/inner", "/README", "-o", str(output), *key)
    assert answer.code == 0, answer.err
    assert f"packed as tar {output}: 2 files in 3 directories, 0 symbolic links, 19 bytes, of {NAME}" in answer.out
    shutil.rmtree(tmp_path / "some server")
    checked = outcrop("pack", "--verify", str(output))
    assert checked.code == 0
    assert f"{output} is what its manifest says: 2 files, 19 bytes, of revision 1 of {NAME}" in checked.out


def test_paths_may_be_written_as_they_are_seen(outcrop: CommandLine, tmp_path: Path) -> None:
    repository, *key = arguments(tmp_path)
    answer = outcrop("pack", repository, f"/cvmfs/{NAME}/README", "--at", "/", "-o", str(tmp_path / "x"), *key)
    assert answer.code == 0, answer.err
    assert (tmp_path / "x" / "README").read_bytes() == CONTENTS[b"/README"]


def test_dry_run_counts_and_writes_nothing(outcrop: CommandLine, tmp_path: Path) -> None:
    repository, *key = arguments(tmp_path)
    answer = outcrop("pack", repository, "/", "-o", str(tmp_path / "x.oci"), "--dry-run", "--json", *key)
    document = json.loads(answer.out)
    assert (document["format"], document["at"], document["files"], document["bytes"]) == (
        "oci", f"/cvmfs/{NAME}", 3, 100_019,
    )  # fmt: skip
    assert not (tmp_path / "x.oci").exists()


def test_links_are_filled_in_on_request(outcrop: CommandLine, tmp_path: Path) -> None:
    repository, *key = arguments(tmp_path)
    output = tmp_path / "x"
    outcrop("pack", repository, "/variant", "--set", "BOOK=shelf/one", "--at", "/", "-o", str(output), *key)
    assert os.readlink(output / "variant") == "shelf/one"
    assert (output / "variant").read_bytes() == CONTENTS[b"/shelf/one"]


def test_changed_pack_is_refused_by_what_differs(outcrop: CommandLine, tmp_path: Path) -> None:
    repository, *key = arguments(tmp_path)
    outcrop("pack", repository, "/README", "--at", "/", "-o", str(tmp_path / "x"), *key)
    (tmp_path / "x" / "README").write_bytes(b"Read us.\n")
    answer = outcrop("pack", "--verify", str(tmp_path / "x"))
    assert (answer.code, answer.out) == (5, "/README has other bytes\n")
    document = json.loads(outcrop("pack", "--verify", str(tmp_path / "x"), "--json").out)
    assert document["problems"] == ["/README has other bytes"]


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ([], "which repository?"),
        (["REPO", "-o", "x"], "pack what?"),
        (["REPO", "/", "--trace", "t", "-o", "x"], "cannot be packed together"),
        (["REPO", "/"], "pack into what?"),
    ],
)
def test_what_is_missing_is_asked_for(outcrop: CommandLine, given: list[str], problem: str) -> None:
    answer = outcrop("pack", *given)
    assert answer.code == 2
    assert problem in answer.err


@pytest.mark.parametrize("option", [("--set", "x"), ("--platform", "vax"), ("--at", "..")])
def test_options_that_make_no_sense_are_refused(outcrop: CommandLine, tmp_path: Path, option: tuple[str, str]) -> None:
    repository, *key = arguments(tmp_path)
    answer = outcrop("pack", repository, "/", "-o", str(tmp_path / "x"), *option, *key)
    assert answer.code == 1
    assert not (tmp_path / "x").exists()


def test_taken_destination_is_refused_before_the_network_is_asked(outcrop: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "x.tar").touch()
    _, *key = arguments(tmp_path)
    answer = outcrop("pack", "http://127.0.0.1:1/books.example.org", "/", "-o", str(tmp_path / "x.tar"), *key)
    assert answer.code == 1
    assert "x.tar already exists" in answer.err


def test_missing_trace_is_named(outcrop: CommandLine, tmp_path: Path) -> None:
    repository, *key = arguments(tmp_path)
    answer = outcrop("pack", repository, "--trace", str(tmp_path / "no"), "-o", str(tmp_path / "x"), *key)
    assert answer.code == 7
    assert "no does not exist" in answer.err


def test_relocated_pack_says_what_was_changed_and_is_checked(outcrop: CommandLine, tmp_path: Path) -> None:
    repository, *key = arguments(tmp_path)
    output = tmp_path / "x.tar"
    answer = outcrop("pack", repository, "/", "-o", str(output), "--relocate", "/opt/books", *key)
    assert answer.code == 0, answer.err
    assert f"of {NAME} at /opt/books" in answer.out
    assert f"{output}: /cvmfs/{NAME} to /opt/books, 1 file of 3 changed" in answer.err
    assert "not proven: `--prove CMD`" in answer.err
    checked = outcrop("pack", "--verify", str(output))
    assert checked.code == 0, checked.err
    assert "relocated to /opt/books: 1 entry changed" in checked.out
    document = json.loads(outcrop("pack", "--verify", str(output), "--json").out)
    assert (document["relocated_to"], document["relocated"]) == ("/opt/books", 1)


@pytest.mark.parametrize(("name", "at"), [("x", "/"), ("x.squashfs", "/"), ("x.erofs", "/"), ("x.oci", "/opt/books")])
def test_relocated_pack_lies_where_its_form_is_used(outcrop: CommandLine, tmp_path: Path, name: str, at: str) -> None:
    repository, *key = arguments(tmp_path)
    line = ["pack", repository, "/", "-o", str(tmp_path / name), "--relocate", "/opt/books", "--dry-run", "--json"]
    assert json.loads(outcrop(*line, *key).out)["at"] == at
    assert json.loads(outcrop(*line, "--at", "/elsewhere", *key).out)["at"] == "/elsewhere"


def test_relocated_pack_tells_places_and_kinds_in_json(outcrop: CommandLine, tmp_path: Path) -> None:
    repository, *key = arguments(tmp_path)
    line = ["pack", repository, "/", "-o", str(tmp_path / "x"), "--relocate", "/opt/books", "--json"]
    relocation = json.loads(outcrop(*line, *key).out)["relocation"]
    assert (relocation["to"], relocation["places"], relocation["proof"]) == ("/opt/books", {"symbolic link": 1}, None)
    assert os.readlink(tmp_path / "x" / "absolute") == "/opt/books/shelf"


@pytest.mark.parametrize(
    ("given", "code", "problem"),
    [
        (["--prove", "x"], 2, "`--prove` is about what was relocated"),
        (["--relocate", "/s", "--prove", "x", "--dry-run"], 2, "relocates nothing"),
        (["--relocate", "/s", "--prove", "'"], 1, "cannot be read"),
        (["--relocate", "s"], 1, "is not an absolute path"),
        (["--relocate", "/a/very/long/path/for/so/short/a/name"], 1, "is too long"),
        (["--relocate", f"/cvmfs/{NAME}"], 1, "was built for already"),
    ],
)
def test_relocation_that_makes_no_sense_is_refused_and_leaves_nothing(
    outcrop: CommandLine, tmp_path: Path, given: list[str], code: int, problem: str
) -> None:
    repository, *key = arguments(tmp_path)
    answer = outcrop("pack", repository, "/", "-o", str(tmp_path / "x.tar"), *given, *key)
    assert (answer.code, problem in answer.err) == (code, True), answer.err
    assert not list(tmp_path.glob("*x.tar*"))


def test_checking_a_pack_against_a_repository_is_not_what_it_does(outcrop: CommandLine, tmp_path: Path) -> None:
    answer = outcrop("pack", "http://localhost:1/tool.example.org", "--verify", str(tmp_path / "x"))
    assert answer.code == 2
    assert "not against a repository" in answer.err
