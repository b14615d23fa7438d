"""`outcrop repo abort`"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from outcrop.stratum0.transactions.overlay import Way
from tests.cli.conftest import CommandLine
from tests.stratum0.private_views import WAYS, play

FQRN = "abort.example.org"


@pytest.fixture
def repository(outcrop: CommandLine, tmp_path: Path) -> str:
    assert outcrop("repo", "create", FQRN, "--storage", str(tmp_path / "storage")).code == 0
    return FQRN


def test_without_a_transaction_there_is_nothing_to_abort(outcrop: CommandLine, repository: str) -> None:
    answer = outcrop("repo", "abort", repository)
    assert answer.code == 1
    assert "does not exist" in answer.err
    assert outcrop("repo", "abort", repository, "--all").code == 0
    assert json.loads(outcrop("repo", "abort", repository, "--all", "--json").out) == []


def test_one_or_all(outcrop: CommandLine, repository: str) -> None:
    assert outcrop("repo", "abort", repository, "--all", "--transaction", "one").code == 2


def test_remains_of_a_transaction_that_was_never_opened_go(outcrop: CommandLine, repository: str) -> None:
    home = next(Path.home().rglob(f"{repository}.toml")).parent / f"{repository}.transactions"
    (home / "20261121-120000" / "work" / "work").mkdir(parents=True)
    (home / "20261121-120000" / "work" / "work").chmod(0)
    answer = outcrop("repo", "abort", repository)
    assert answer.code == 0
    assert "20261121-120000 is thrown away: 0 changes" in answer.out
    assert list(home.iterdir()) == []


@pytest.mark.integration
@pytest.mark.parametrize("way", WAYS)
def test_all_are_aborted(tmp_path: Path, way: Way) -> None:
    play("all_are_aborted", tmp_path, way)
