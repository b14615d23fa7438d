"""`outcrop repo gc`: the plan, the run and what they say."""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from outcrop.cvmfs.names import repository_name
from outcrop.storage.directory import DirectoryStore
from tests.cli.conftest import CommandLine
from tests.stratum0.conftest import NAME, test_keys

__all__ = ["test_keys"]

REVISIONS = 4
"""The empty one that a repository begins with, and three that each replace what the one before had."""


@dataclass(frozen=True, slots=True)
class Owned:
    """A repository on disk and the data directory of its owner."""

    data: Path
    storage: Path

    def names(self) -> set[str]:
        return set(DirectoryStore(self.storage).names())


@pytest.fixture
def owned(outcrop: CommandLine, test_keys: Path, tmp_path: Path) -> Owned:
    data, storage = tmp_path / "data", tmp_path / "storage" / NAME
    data.mkdir()
    for key in test_keys.iterdir():
        shutil.copy(key, data)  # with its mode: a private key that others may read is refused
    os.environ["OUTCROP_DATA_DIR"] = str(data)
    assert outcrop("repo", "create", NAME, "--storage", str(storage)).code == 0
    for number in range(1, REVISIONS):
        tree = tmp_path / f"tree{number}"
        (tree / "d").mkdir(parents=True)
        (tree / "d" / ".cvmfscatalog").touch()
        (tree / "d" / "g").write_text(f"nested {number}")
        (tree / "f").write_text(f"root {number}")
        ingested = outcrop("repo", "ingest", NAME, str(tree), "--tag", f"v{number}")
        assert ingested.code == 0, ingested.err
    assert outcrop("repo", "tag", NAME, "--delete", "v1").code == 0
    assert outcrop("repo", "tag", NAME, "--delete", "v2").code == 0
    return Owned(data, storage)


def test_by_default_nothing_young_goes(outcrop: CommandLine, owned: Owned) -> None:
    before = owned.names()
    done = outcrop("repo", "gc", NAME)
    assert (done.code, done.err) == (0, "")
    assert done.out == f"{NAME}: {REVISIONS} revisions kept, 0 dropped; 0 objects removed, 0 bytes freed\n"
    assert owned.names() == before


def test_the_setting_says_how_long_revisions_stay(outcrop: CommandLine, owned: Owned) -> None:
    record = owned.data / f"{NAME}.toml"
    record.write_text(re.sub(r"gc_keep_days = \d+", "gc_keep_days = 0", record.read_text()))
    assert "2 revisions kept, 2 dropped" in outcrop("repo", "gc", NAME).out
    record.write_text(record.read_text().replace("gc_keep_days = 0", "gc_keep_days = -1"))
    assert outcrop("repo", "gc", NAME).code == 3


def test_a_dry_run_lists_what_goes_and_changes_nothing(outcrop: CommandLine, owned: Owned) -> None:
    before = owned.names()
    planned = outcrop("repo", "gc", NAME, "--keep-days", "0", "--dry-run")
    assert (planned.code, planned.err) == (0, "")
    lines = planned.out.splitlines()
    assert [line.split(" of ")[0] for line in lines[:2]] == ["- revision 1", "- revision 2"]
    kinds = {line.split()[0] for line in lines[2:-1] if not line.startswith("- tag generic")}
    assert kinds >= {"file", "catalog"}
    plan = re.fullmatch(f"{NAME}: would keep 2 revisions and drop 2; remove (.*) and free (.*)", lines[-1])
    assert plan is not None
    assert owned.names() == before
    done = outcrop("repo", "gc", NAME, "--keep-days", "0")
    assert done.out == f"{NAME}: 2 revisions kept, 2 dropped; {plan[1]} removed, {plan[2]} freed\n"
    assert before - owned.names()


def test_json_says_the_same_of_the_plan_and_of_the_run(outcrop: CommandLine, owned: Owned) -> None:
    before = owned.names()
    planned = json.loads(outcrop("repo", "gc", NAME, "--keep-days", "0", "--dry-run", "--json").out)
    done = json.loads(outcrop("repo", "gc", NAME, "--keep-days", "0", "--json").out)
    assert (planned.pop("collected"), done.pop("collected")) == (False, True)
    assert planned == done
    assert [one["revision"] for one in done["dropped"]] == [1, 2]
    assert [one["reason"] for one in done["kept"]] == ["current", "previous"]
    assert done["objects"] == sum(one["objects"] for one in done["by_kind"].values()) > 0
    assert done["bytes"] == sum(one["bytes"] for one in done["by_kind"].values()) > 0
    # A history and a reflog without the tags that ended are new; all else of the difference is what went.
    assert len(before - owned.names()) == done["objects"]


def test_the_newest_revisions_can_be_kept_by_number(outcrop: CommandLine, owned: Owned) -> None:
    assert "4 revisions kept, 0 dropped" in outcrop("repo", "gc", NAME, "--keep-days", "0", "--keep-revisions", "9").out
    assert "3 revisions kept, 1 dropped" in outcrop("repo", "gc", NAME, "--keep-days", "0", "--keep-revisions", "3").out


def test_what_is_no_object_is_told(outcrop: CommandLine, owned: Owned) -> None:
    (owned.storage / "data" / "00" / "README").touch()
    done = outcrop("repo", "gc", NAME)
    assert done.code == 0
    assert "1 file below data/ is no object, and stays" in done.err


def test_damage_stops_it_and_the_hint_says_what_helps(outcrop: CommandLine, owned: Owned) -> None:
    document = json.loads(outcrop("repo", "gc", NAME, "--dry-run", "--json").out)
    root = document["kept"][0]["root_catalog"]
    (owned.storage / "data" / root[:2] / f"{root[2:]}C").unlink()
    before = owned.names()
    done = outcrop("repo", "gc", NAME)
    assert (done.code, done.out) == (5, "")
    assert root[2:] in done.err
    assert "outcrop repo check" in done.err
    assert owned.names() == before


def test_a_repository_of_nobody_is_not_found(outcrop: CommandLine, tmp_path: Path) -> None:
    os.environ["OUTCROP_DATA_DIR"] = str(tmp_path)
    done = outcrop("repo", "gc", repository_name("nobody.example.org"))
    assert done.code == 1
    assert "nobody.example.org" in done.err


@pytest.mark.parametrize("option", [("--keep-days", "-1"), ("--keep-revisions", "0")])
def test_numbers_that_make_no_sense_are_refused(outcrop: CommandLine, tmp_path: Path, option: tuple[str, str]) -> None:
    assert outcrop("repo", "gc", NAME, *option).code == 2
