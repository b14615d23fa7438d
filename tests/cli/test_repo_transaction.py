"""`outcrop repo transaction`"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from outcrop.stratum0.transactions.overlay import Way
from tests.cli.conftest import CommandLine
from tests.stratum0.private_views import WAYS, play

FQRN = "transaction.example.org"


@pytest.fixture
def repository(outcrop: CommandLine, tmp_path: Path) -> str:
    assert outcrop("repo", "create", FQRN, "--storage", str(tmp_path / "storage")).code == 0
    return FQRN


def test_plan_says_what_is_opened_where_and_how(outcrop: CommandLine, repository: str, tmp_path: Path) -> None:
    answer = outcrop("repo", "transaction", repository, "--path", "a/b", "--at", str(tmp_path / "view"), "--dry-run")
    assert answer.code == 0
    for part in (f"revision 1 of {FQRN}", "/a/b", str(tmp_path / "view"), Way.NAMESPACE.value):
        assert part in answer.out
    document = json.loads(outcrop("repo", "transaction", repository, "--dry-run", "--json", "--by", "namespace").out)
    assert (document["changing"], document["by"]) == ("/", "namespace")
    assert outcrop("repo", "transaction", repository, "--list", "--json").out == "[]\n"


def test_publish_needs_a_command(outcrop: CommandLine, repository: str) -> None:
    answer = outcrop("repo", "transaction", repository, "--publish")
    assert answer.code == 2
    assert "--publish needs a command" in answer.err


def test_options_of_publishing_are_refused_where_they_would_be_forgotten(outcrop: CommandLine, repository: str) -> None:
    answer = outcrop("repo", "transaction", repository, "--tag", "2026.06", "-m", "GCC 14", "--dry-run")
    assert answer.code == 2
    assert "--tag belongs to publishing" in answer.err


def test_unknown_transaction_is_not_resumed(outcrop: CommandLine, repository: str) -> None:
    answer = outcrop("repo", "transaction", repository, "--resume", "20261121-120000")
    assert answer.code == 1
    assert "--list" in answer.err


def test_repository_of_somebody_else_is_named(outcrop: CommandLine) -> None:
    answer = outcrop("repo", "transaction", "nobody.example.org")
    assert answer.code == 1
    assert "outcrop repo create nobody.example.org" in answer.err


@pytest.mark.integration
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "scenario",
    [
        "command_runs_in_the_view_and_its_exit_code_is_the_answer",
        "command_runs_at_the_path_or_beside_the_file_there",
        "document_is_all_that_a_command_leaves_on_standard_output",
        "view_shows_where_it_is_asked_for",
    ],
)
def test_scenario(tmp_path: Path, scenario: str, way: Way) -> None:
    play(scenario, tmp_path, way)
