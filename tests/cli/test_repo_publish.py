"""`outcrop repo publish`"""

from __future__ import annotations

from pathlib import Path

import pytest

from outcrop.stratum0.transactions.overlay import Way
from tests.cli.conftest import CommandLine
from tests.stratum0.private_views import WAYS, play

FQRN = "publish.example.org"


def test_without_a_transaction_there_is_nothing_to_publish(outcrop: CommandLine, tmp_path: Path) -> None:
    assert outcrop("repo", "create", FQRN, "--storage", str(tmp_path / "storage")).code == 0
    for options in ([], ["--dry-run"], ["--transaction", "20261121-120000"]):
        answer = outcrop("repo", "publish", FQRN, *options)
        assert answer.code == 1
        assert "does not exist" in answer.err
        assert f"outcrop repo transaction {FQRN}" in answer.err


@pytest.mark.integration
@pytest.mark.parametrize("way", WAYS)
def test_command_is_published_if_it_ends_well(tmp_path: Path, way: Way) -> None:
    play("command_is_published_if_it_ends_well", tmp_path, way)
