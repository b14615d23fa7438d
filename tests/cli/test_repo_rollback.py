"""`outcrop repo rollback`: the plan, the run and what they say."""

from __future__ import annotations

import getpass
import json

import pytest

from outcrop.stratum0.promises.policy import policy_path
from tests.cli.conftest import CommandLine, Outcome
from tests.cli.revisions import NAME, new_publisher, owned, test_keys
from tests.stratum0.conftest import Publisher
from tests.stratum0.reading import published_manifest

__all__ = ["new_publisher", "owned", "test_keys"]

COUNTS = "4 added, 0 changed, 3 removed; 3 bytes"


def rollback(outcrop: CommandLine, *arguments: str) -> Outcome:
    """Calls the command on a repository whose whitelist may have expired since the tests were written."""
    return outcrop("--quiet", "repo", "rollback", NAME, "--allow-expiring", *arguments)


def test_the_plan_is_what_is_done(outcrop: CommandLine, owned: Publisher) -> None:
    planned = rollback(outcrop, "2026.06", "--dry-run")
    assert planned.out.splitlines() == [
        "+ /gcc (4 entries)",
        "- /llvm (3 entries)",
        f"{NAME} would become revision 5 with the tree of revision 2: {COUNTS}",
    ]
    assert published_manifest(owned.repository.store).revision == 4
    done = rollback(outcrop, "2026.06", "-m", "GCC 13 again", "--reason", "clang fails")
    assert done.out == f"{NAME} is now revision 5 with the tree of revision 2: {COUNTS}\n"
    newest = json.loads(outcrop("repo", "log", NAME, "-n", "1", "--json").out)[0]
    assert (newest["message"], newest["reason"]) == ("GCC 13 again", "clang fails")
    assert newest["author"].startswith(f"{getpass.getuser()}@")
    assert [(one["effect"], one["path"]) for one in newest["changes"]] == [("added", "/gcc"), ("removed", "/llvm")]
    assert outcrop("repo", "diff", NAME, "2").out.endswith(": 0 added, 0 changed, 0 removed; 0 bytes\n")


@pytest.mark.usefixtures("owned")
def test_json_and_the_author(outcrop: CommandLine) -> None:
    document = json.loads(rollback(outcrop, "~1", "--author", "Ada", "--json").out)
    assert document.pop("root_catalog")
    assert len(document.pop("changes")) == 2
    assert document == {
        "repository": NAME,
        "published": True,
        "revision": 5,
        "target": 3,
        "added": 4,
        "changed": 0,
        "removed": 3,
        "bytes": 9,
    }
    assert json.loads(outcrop("repo", "log", NAME, "-n", "1", "--json").out)[0]["author"] == "Ada"
    again = rollback(outcrop, "3")
    assert again.out == f"{NAME} has the tree of revision 3 already: still revision 5\n"


@pytest.mark.usefixtures("owned")
@pytest.mark.parametrize(("revision", "problem"), [("trunk", "is what readers see now"), ("9", "does not exist")])
def test_what_is_no_way_back(outcrop: CommandLine, revision: str, problem: str) -> None:
    done = rollback(outcrop, revision)
    assert done.code == 1
    assert problem in done.err


def test_a_broken_promise_needs_a_reason(outcrop: CommandLine, owned: Publisher) -> None:
    policy_path(owned.directory, NAME).write_text('keep = ["/llvm"]\n')
    done = rollback(outcrop, "2")
    assert done.code == 1
    assert "/llvm" in done.err
    assert rollback(outcrop, "2", "--reason", "it computes wrongly").code == 0
