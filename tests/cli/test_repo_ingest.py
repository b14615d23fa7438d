"""`outcrop repo ingest`: the plan that a run executes, what it answers, and what it says to the usual mistakes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import CommandLine, Outcome
from tests.cli.revisions import FAR_DAYS, NAME, new_publisher, test_keys
from tests.stratum0.archives import Member, directory, hard_link, packed, symlink, write_archive
from tests.stratum0.conftest import Publisher
from tests.stratum0.reading import entries, published_manifest

__all__ = ["new_publisher", "test_keys"]

Ingest = Callable[..., Outcome]


@pytest.fixture
def owned(new_publisher: Callable[..., Publisher], home: object) -> Publisher:
    """An empty repository. `OUTCROP_DATA_DIR` is set."""
    publisher = new_publisher(whitelist_days=FAR_DAYS)
    os.environ["OUTCROP_DATA_DIR"] = str(publisher.directory)
    return publisher


@pytest.fixture
def ingest(owned: Publisher, outcrop: CommandLine) -> Ingest:
    def call(*arguments: str | Path) -> Outcome:
        return outcrop("repo", "ingest", NAME, *map(str, arguments), "--allow-expiring")

    return call


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    top = tmp_path / "tree"
    (top / "bin").mkdir(parents=True)
    (top / "bin" / "gcc").write_text("13")
    (top / "README").write_text("read me")
    return top


def revision(publisher: Publisher) -> int:
    return published_manifest(publisher.repository.store).revision


def found(publisher: Publisher) -> set[str]:
    return {path.decode() for path in entries(publisher.repository.store)}


def test_a_tree_becomes_a_revision(owned: Publisher, ingest: Ingest, tree: Path) -> None:
    done = ingest(tree, "--at", "/gcc")
    assert done.code == 0, done.err
    assert done.out.startswith(f"{NAME} is now revision 2: 4 added")
    assert found(owned) == {"/gcc", "/gcc/bin", "/gcc/bin/gcc", "/gcc/README"}


def test_the_same_again_is_said_to_be_there(owned: Publisher, ingest: Ingest, tree: Path) -> None:
    ingest(tree)
    done = ingest(tree)
    assert (done.code, done.out) == (0, f"{NAME} has all of this already: still revision 2\n")


def test_archives_and_directories_come_in_together(
    owned: Publisher, ingest: Ingest, tree: Path, tmp_path: Path
) -> None:
    archives = [
        write_archive(tmp_path / f"{ending}.tar{ending and '.'}{ending}", Member(f"from-{ending or 'tar'}"))
        for ending in ("", "gz", "bz2", "xz", "zst")
    ]
    done = ingest(tree, *archives)
    assert done.code == 0, done.err
    assert found(owned) >= {"/README", "/from-tar", "/from-gz", "/from-bz2", "/from-xz", "/from-zst"}
    assert revision(owned) == 2


def test_a_dry_run_prints_the_plan_of_the_run(owned: Publisher, ingest: Ingest, tree: Path) -> None:
    ingest(tree, "--at", "/gcc")
    (tree / "README").write_text("read me again")
    (tree / "bin" / "g++").write_text("13")
    (tree / "bin" / "gcc").unlink()
    arguments = (tree, "--at", "/gcc", "--replace", "/gcc")
    before = owned.storage.joinpath(".cvmfspublished").read_bytes()
    objects = set(owned.repository.store.names())
    planned = ingest(*arguments, "--dry-run")
    as_json = json.loads(ingest(*arguments, "--dry-run", "--json").out)
    assert owned.storage.joinpath(".cvmfspublished").read_bytes() == before
    assert set(owned.repository.store.names()) == objects
    run = json.loads(ingest(*arguments, "--json").out)
    assert (planned.code, as_json["published"], run["published"]) == (0, False, True)
    assert as_json["revision"] + 1 == run["revision"] == 3
    for key in ("added", "changed", "removed", "unchanged", "bytes", "catalogs", "changes", "notes"):
        assert as_json[key] == run[key], key
    lines = planned.out.splitlines()
    assert lines[-1].startswith(f"{NAME} would become revision 3: 1 added")
    assert re.search(r"\d+ catalogs? written$", lines[-1])
    shown = "\n".join(lines[:-1])
    for change in run["changes"]:
        assert change["path"] in shown
    assert {change["path"]: change["effect"] for change in run["changes"]}["/gcc/bin/gcc"] == "removed"


def test_a_dry_run_tells_whole_directories_in_one_line_sorted_by_path(ingest: Ingest, tree: Path) -> None:
    ingest(tree, "--at", "/gcc")
    (tree / "README").write_text("read me again")
    (tree / "lib" / "64").mkdir(parents=True)
    (tree / "lib" / "64" / "libgcc.so").write_text("13")
    lines = ingest(tree, "--at", "/gcc", "--dry-run").out.splitlines()
    assert lines[:-1] == ["~ /gcc/README", "+ /gcc/lib (3 entries)"]


def test_a_dry_run_without_a_change_says_so(ingest: Ingest, tree: Path) -> None:
    ingest(tree)
    done = ingest(tree, "--dry-run")
    assert done.out == f"{NAME} would stay at revision 2: nothing changes\n"


def test_what_a_dry_run_would_refuse_the_run_refuses(owned: Publisher, ingest: Ingest, tmp_path: Path) -> None:
    archive = write_archive(tmp_path / "t.tar", Member("su", mode=0o4755))
    planned, run = ingest(archive, "--dry-run"), ingest(archive)
    assert planned == run
    assert run.code == 1


def test_deleting_needs_no_tree(owned: Publisher, ingest: Ingest, tree: Path) -> None:
    ingest(tree)
    done = ingest("--delete", "/bin")
    assert (done.code, done.out.startswith(f"{NAME} is now revision 3: ")) == (0, True)
    assert found(owned) == {"/README"}


def test_a_document_is_all_there_is_on_standard_output(ingest: Ingest, tree: Path) -> None:
    (tree / "README").chmod(0o666)
    done = ingest(tree, "--json", "--message", "first", "--tag", "v1")
    document = json.loads(done.out)
    assert document["repository"] == NAME
    assert {"path": "/README", "effect": "added", "content": True}.items() <= document["changes"][0].items()
    assert len(document["notes"]) == 1
    assert "writable by everybody" in document["notes"][0]
    assert "writable by everybody" in done.err


def test_names_that_are_no_text_are_written_as_they_are(ingest: Ingest, tree: Path) -> None:
    Path(os.fsdecode(os.fsencode(tree) + b"/latin-\xe9")).touch()
    done = ingest(tree, "--dry-run")
    assert "/latin-\udce9" in done.out
    assert json.loads(ingest(tree, "--json").out)["changes"]


def test_owners_are_mapped(owned: Publisher, ingest: Ingest, tree: Path, tmp_path: Path) -> None:
    (tmp_path / "map").write_text("* 7\n")
    assert ingest(tree, "--at", "/a", "--owner", "5:6").code == 0
    assert ingest(tree, "--at", "/b", "--uid-map", tmp_path / "map", "--gid-map", tmp_path / "map").code == 0
    owners = {path: (entry.uid, entry.gid) for path, entry in entries(owned.repository.store).items()}
    assert (owners[b"/a/README"], owners[b"/b/README"]) == ((5, 6), (7, 7))


# --- the usual mistakes


def told(outcome: Outcome) -> tuple[str, str]:
    """The sentence and the hint of an error."""
    assert outcome.out == ""
    sentence, _, hint = outcome.err.strip().partition("\n\n")
    assert hint.startswith("hint: "), outcome.err
    return " ".join(sentence.split()), " ".join(hint.removeprefix("hint: ").split())


def test_nothing_to_do_is_a_mistake(ingest: Ingest) -> None:
    done = ingest()
    assert done.code == 2
    sentence, hint = told(done)
    assert "nothing to publish" in sentence
    assert "outcrop repo ingest --help" in hint


def test_a_repository_that_is_not_owned(outcrop: CommandLine, owned: Publisher, tree: Path) -> None:
    done = outcrop("repo", "ingest", "other.example.org", str(tree))
    assert done.code == 1
    sentence, hint = told(done)
    assert "other.example.org" in sentence
    assert NAME in hint


def test_a_name_that_is_none(outcrop: CommandLine, owned: Publisher, tree: Path) -> None:
    done = outcrop("repo", "ingest", "no name", str(tree))
    assert done.code == 1
    told(done)


def test_a_tree_that_is_not_there(owned: Publisher, ingest: Ingest, tmp_path: Path) -> None:
    done = ingest(tmp_path / "none.tar.gz")
    assert done.code == 1
    sentence, hint = told(done)
    assert "does not exist" in sentence
    assert "tarball" in hint


@pytest.mark.parametrize("data", [b"no archive at all", b"PK\3\4" + bytes(600)])
def test_a_file_that_is_no_archive(owned: Publisher, ingest: Ingest, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "tree.zip").write_bytes(data)
    done = ingest(tmp_path / "tree.zip")
    assert done.code == 3
    sentence, hint = told(done)
    assert "tree.zip" in sentence.replace(" ", "")
    for format_name in (".tar", ".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst"):
        assert format_name in hint
    assert "nothing was published" in hint
    assert revision(owned) == 1


def test_something_that_is_neither(ingest: Ingest) -> None:
    done = ingest("/dev/null")
    assert done.code == 1
    assert "neither a directory nor a tarball" in done.err


# --- tarballs that can be read only once


@pytest.fixture
def piped(outcrop: CommandLine) -> Callable[..., subprocess.CompletedProcess[bytes]]:
    """Calls `outcrop repo ingest` in a process of its own, into which a pipe leads."""

    def call(data: bytes, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        command = [sys.executable, "-m", "outcrop", "repo", "ingest", NAME, *arguments, "--allow-expiring"]
        return subprocess.run(command, input=data, capture_output=True, check=False, timeout=60)

    return call


Piped = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.mark.parametrize("name", ["-", "/dev/stdin"])
@pytest.mark.parametrize("ending", ["tar", "tar.zst"])
def test_a_tarball_comes_from_standard_input(owned: Publisher, piped: Piped, name: str, ending: str) -> None:
    data = packed([Member("f", os.urandom(300_000))], ending)
    planned = piped(data, name, "--at", "/x", "--dry-run")
    assert (planned.returncode, revision(owned)) == (0, 1), planned.stderr
    done = piped(data, name, "--at", "/x")
    assert (done.returncode, found(owned), revision(owned)) == (0, {"/x", "/x/f"}, 2), done.stderr
    again = piped(data, name, "--at", "/x")
    assert b"has all of this already" in again.stdout


def test_what_is_wrong_with_standard_input_says_so(owned: Publisher, piped: Piped) -> None:
    assert b"standard input" in piped(b"no archive at all", "-").stderr
    assert b"standard input" in piped(b"", "-").stderr
    assert b"of standard input" in " ".join(piped(packed([Member("../f")]), "-").stderr.decode().split()).encode()
    assert revision(owned) == 1


def test_a_tarball_comes_from_a_fifo(owned: Publisher, ingest: Ingest, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    data = packed([Member("f", os.urandom(300_000))], "tar.gz")
    writing = threading.Thread(target=lambda: (tmp_path / "pipe").write_bytes(data))
    writing.start()
    done = ingest(tmp_path / "pipe")
    writing.join()
    assert (done.code, found(owned)) == (0, {"/f"}), done.err


def test_standard_input_is_read_once(ingest: Ingest) -> None:
    done = ingest("-", "-")
    assert (done.code, "only once" in done.err) == (2, True)


def test_a_terminal_is_no_tarball(owned: Publisher, ingest: Ingest, monkeypatch: pytest.MonkeyPatch) -> None:
    _, terminal = os.openpty()
    with open(terminal) as stream:
        monkeypatch.setattr(sys, "stdin", stream)
        done = ingest("-")
    assert done.code == 2
    assert "zstd -dc" in told(done)[1]


def test_a_truncated_archive(owned: Publisher, ingest: Ingest, tmp_path: Path) -> None:
    archive = write_archive(tmp_path / "t.tar.gz", Member("f", os.urandom(5000)))
    archive.write_bytes(archive.read_bytes()[:3000])
    done = ingest(archive)
    assert done.code == 3
    assert "truncated" in told(done)[1]
    assert revision(owned) == 1


@pytest.mark.parametrize(
    ("members", "words", "option"),
    [
        ([Member("su", mode=0o4755)], "set-user-ID", "--allow-privileged"),
        ([Member("null", kind=b"3", device=(1, 3))], "device node", "--allow-devices"),
        ([Member("../evil")], "leads out of the tree", "make the archive again"),
        ([symlink("s", "/tmp"), Member("s/x")], "which is no directory", "make the archive again"),
        ([hard_link("h", "/etc/shadow")], "absolute path", "make the archive again"),
    ],
)
def test_what_is_refused_at_the_door_says_what_would_let_it_in(
    owned: Publisher, ingest: Ingest, tmp_path: Path, members: list[Member], words: str, option: str
) -> None:
    archive = write_archive(tmp_path / "t.tar", *members)
    done = ingest(archive)
    assert done.code == 1
    sentence, hint = told(done)
    assert words in sentence
    assert option in hint
    assert revision(owned) == 1
    if option.startswith("--"):
        assert ingest(archive, option).code == 0


def test_what_lies_outside_of_the_declared_paths(owned: Publisher, ingest: Ingest, tree: Path) -> None:
    done = ingest(tree, "--at", "/gcc", "--within", "/gcc/bin")
    assert done.code == 1
    sentence, hint = told(done)
    assert "/gcc/README" in sentence
    assert "--within" in hint
    assert ingest(tree, "--at", "/gcc", "--within", "/gcc").code == 0


def test_a_directory_in_the_place_of_a_file(ingest: Ingest, tree: Path, tmp_path: Path) -> None:
    ingest(tree)
    archive = write_archive(tmp_path / "t.tar", directory("README"))
    done = ingest(archive)
    assert done.code == 1
    assert "--replace /README" in told(done)[1]
    assert ingest(archive, "--replace", "/README").code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--delete", "/none"], 1, "/none"),
        (["--delete", "/"], 1, "root"),
        (["--delete", "/a/../../b"], 1, "cannot lead to anything"),
        (["--owner", "me", "--delete", "/x"], 2, "UID:GID"),
        (["--owner", "4294967296:0", "--delete", "/x"], 1, "numbers that nobody can have"),
        (["--owner", "0:0", "--uid-map", "x", "--delete", "/x"], 2, "exclude each other"),
        (["--uid-map", "/nowhere/map", "--delete", "/x"], 7, "/nowhere/map"),
        (["--tag", "a b", "--delete", "/x"], 1, "a b"),
    ],
)
def test_an_option_that_makes_no_sense(
    owned: Publisher, ingest: Ingest, arguments: list[str], code: int, words: str
) -> None:
    done = ingest(*arguments)
    assert (done.code, words in " ".join(done.err.split())) == (code, True), done.err
    assert "hint: " in done.err
    assert revision(owned) == 1


def test_help_has_examples_and_every_option(outcrop: CommandLine) -> None:
    done = outcrop("repo", "ingest", "--help")
    assert done.code == 0
    for word in ("--at", "--delete", "--replace", "--within", "--owner", "--dry-run", "--json", "--allow-devices"):
        assert word in done.out
    assert "outcrop repo ingest software.example.org ./tree" in done.out
    assert "as one revision" in " ".join(done.out.split())
