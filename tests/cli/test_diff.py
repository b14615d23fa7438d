"""`outcrop diff`: what differs between two revisions, for whoever reads the repository."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.cli.conftest import CommandLine
from tests.cli.revisions import NAME, new_publisher, owned, test_keys
from tests.stratum0.conftest import Publisher

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


def test_third_revision_is_refused(outcrop: CommandLine) -> None:
    assert outcrop("diff", NAME, "3", "4", "--tag", "2026.06").code == 2
