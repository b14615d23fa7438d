"""`outcrop repo repair`"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from outcrop.cli import repo_check, repo_repair
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
