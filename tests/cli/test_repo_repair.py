"""`outcrop repo repair`"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

from outcrop.cli import repo_check, repo_ingest, repo_repair
from outcrop.errors import IntegrityError
from tests.cli.test_repo_check import NAME, file_object, original, run, storage

__all__ = ["original", "storage"]


def test_a_damaged_object_comes_back_from_a_directory(storage: Path) -> None:
    mirror = shutil.copytree(storage, storage.parents[1] / "mirror")
    victim = file_object(storage)
    victim.write_bytes(b"altered")
    run(repo_check.command, "--full")

    result = run(repo_repair.command, "--from", str(mirror))

    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [f"mended {victim.relative_to(storage)} ({mirror})", f"{NAME} is sound"]
    assert run(repo_check.command, "--full").exit_code == 0


def test_a_dry_run_tells_and_changes_nothing(storage: Path) -> None:
    victim = file_object(storage)
    victim.unlink()

    result = run(repo_repair.command, "--from", "http://127.0.0.1:1/x", "--dry-run", "--json")

    document = json.loads(result.stdout)
    assert document["planned"] == [{"action": "fetch", "name": str(victim.relative_to(storage))}]
    assert document["mended"] == []
    assert not victim.exists()


def test_what_cannot_be_mended_is_told_with_the_reason(storage: Path) -> None:
    (storage.parents[1] / "empty").mkdir()
    file_object(storage).unlink()

    result = run(repo_repair.command, "--from", str(storage.parents[1] / "empty"))

    assert isinstance(result.exception, IntegrityError)
    assert "could not be mended" in result.stderr
    assert "does not exist" in result.stderr


def test_nothing_to_mend_is_said(storage: Path) -> None:
    assert run(repo_repair.command, "--full").stdout == f"{NAME} is sound; there was nothing to mend\n"


def test_a_dry_run_says_what_would_be_fetched_for_which_path(storage: Path) -> None:
    victim = file_object(storage)
    victim.unlink()
    (line,) = run(repo_repair.command, "--dry-run").stdout.splitlines()
    assert re.fullmatch(rf"fetch {victim.relative_to(storage)} for /file\d, which is missing", line)


def test_what_no_copy_has_is_discarded_if_asked_for_and_the_way_out_is_told(storage: Path) -> None:
    victim = file_object(storage)
    victim.write_bytes(b"altered")
    run(repo_check.command, "--full")

    result = run(repo_repair.command)
    assert "`--discard-altered` takes what is altered away" in result.stderr
    assert victim.exists()

    result = run(repo_repair.command, "--discard-altered")
    assert isinstance(result.exception, IntegrityError)
    assert f"took {victim.relative_to(storage)} away, which is altered" in result.stdout
    assert "publish the files again" in result.stderr
    assert not victim.exists()


def test_after_a_check_found_damage_an_unchanged_tree_is_looked_at_again(storage: Path) -> None:
    tree = storage.parents[1] / "tree"
    tree.mkdir()
    for number in range(5):
        (tree / f"file{number}").write_text(f"{number}" * 500)
    file_object(storage).unlink()
    assert run(repo_check.command).exit_code != 0
    run(repo_ingest.command, str(tree))
    assert run(repo_check.command, "--full").exit_code == 0
