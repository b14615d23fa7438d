"""`outcrop diff`: what differs between two revisions, for whoever reads the repository."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.cli.conftest import CommandLine
from tests.cli.revisions import NAME, new_publisher, owned, test_keys
from tests.stratum0.conftest import Publisher
from tests.stratum0.revising import revise

__all__ = ["new_publisher", "owned", "test_keys"]

pytestmark = pytest.mark.usefixtures("reads_what_is_owned")


@pytest.fixture
def reads_what_is_owned(owned: Publisher, tmp_path: Path) -> Publisher:
    os.environ["OUTCROP_CACHE_DIR"] = str(tmp_path / "cache")
    return owned


@pytest.mark.parametrize("revisions", [("3", "4"), ("trunk-previous", "trunk"), ("2026.06", "4"), ("3", "trunk")])
def test_lines_are_those_of_the_publisher(outcrop: CommandLine, revisions: tuple[str, str]) -> None:
    done = outcrop("diff", NAME, *revisions)
    assert (done.code, done.err) == (0, "")
    assert done.out == outcrop("repo", "diff", NAME, *revisions).out


def test_document_is_that_of_the_publisher(outcrop: CommandLine) -> None:
    theirs = json.loads(outcrop("repo", "diff", NAME, "2026.06", "trunk", "--json").out)
    assert json.loads(outcrop("diff", NAME, "2026.06", "trunk", "--json").out) == theirs


def test_part_of_the_tree(outcrop: CommandLine) -> None:
    assert outcrop("diff", NAME, "3", "4", "/gcc/bin/gcc").out.splitlines() == [
        "- /gcc/bin/gcc",
        "from revision 3 to 4: 0 added, 0 changed, 1 removed; 0 bytes",
    ]


def test_revisions_by_their_root_catalogs(outcrop: CommandLine) -> None:
    known = json.loads(outcrop("diff", NAME, "3", "4", "--json").out)
    roots = [known[end]["root_catalog"] for end in ("from", "to")]
    assert outcrop("diff", NAME, *roots).out == outcrop("diff", NAME, "3", "4").out


def test_revision_that_is_not_known(outcrop: CommandLine) -> None:
    done = outcrop("diff", NAME, "nosuch", "trunk")
    assert done.code == 1
    assert "the newest tags are" in done.err


@pytest.mark.parametrize("option", ["--tag", "--revision", "--root-hash"])
def test_third_revision_is_no_option(outcrop: CommandLine, option: str) -> None:
    assert outcrop("diff", NAME, "3", "4", option, "2").code == 2
    assert option not in outcrop("diff", "--help").out


def test_path_that_neither_revision_has_is_told_of(outcrop: CommandLine) -> None:
    for revisions in (("3", "4"), ("4", "4")):
        done = outcrop("diff", NAME, *revisions, "/gc")
        assert (done.code, done.out) == (1, "")
        assert f"/gc in the revisions {revisions[0]} and 4 of {NAME} does not exist" in done.err
        assert f"hint: `outcrop find {NAME} --name gc`" in done.err
    assert outcrop("diff", NAME, "2", "3", "/gcc/bin/gcc").code == 0


def test_root_catalog_that_no_server_has_is_a_revision_that_is_not_there(outcrop: CommandLine) -> None:
    digest = "12" * 20
    done = outcrop("diff", NAME, digest, "4")
    assert done.code == 1
    assert f"the revision of {NAME} with the root catalog {digest} does not exist" in done.err
    assert "hint: no server has that catalog" in done.err


def test_names_that_are_not_utf8_have_their_bytes(outcrop: CommandLine, owned: Publisher) -> None:
    revise(owned, {"/latin-\udce9": "x"})
    text = outcrop("diff", NAME, "4", "trunk", "--json").out
    change = json.loads(text)["changes"][-1]
    assert (change["path"], change["path_bytes"]) == ("/latin-\ufffd", "/latin-%E9")
    assert change["new"]["path_bytes"] == "/latin-%E9"
    assert "udc" not in text
