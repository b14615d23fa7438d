"""`outcrop repo policy`: what is promised, where that is written, and which pattern says so."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from outcrop.cvmfs.names import repository_name
from outcrop.stratum0.promises.policy import EXAMPLE, Policy, policy_path
from outcrop.stratum0.settings import RepositorySettings, save_settings
from tests.cli.conftest import CommandLine

NAME = repository_name("test.example.org")


@pytest.fixture
def policy(tmp_path: Path, home: Path) -> Path:
    """Where the policy of a repository lies; there is none yet."""
    os.environ["OUTCROP_DATA_DIR"] = str(tmp_path)
    save_settings(tmp_path, RepositorySettings(name=NAME, storage=str(tmp_path / "storage" / NAME)))
    return policy_path(tmp_path, NAME)


def test_without_a_file_it_says_where_one_would_be(outcrop: CommandLine, policy: Path) -> None:
    answer = outcrop("repo", "policy", NAME)
    assert answer.code == 0
    assert answer.out == f"{NAME} promises nothing: there is no file {policy}\n"
    assert f"outcrop repo policy {NAME} --example >{policy}" in answer.err
    document = json.loads(outcrop("repo", "policy", NAME, "--json").out)
    assert document == {"file": str(policy), "exists": False, "keep": [], "except": []}


def test_example_is_a_policy(outcrop: CommandLine, policy: Path) -> None:
    answer = outcrop("repo", "policy", NAME, "--example")
    assert answer.out == EXAMPLE
    assert Policy.parse(answer.out.encode(), "the example").keep.texts
    assert json.loads(outcrop("repo", "policy", NAME, "--example", "--json").out) == {"example": EXAMPLE}
    assert not policy.exists()


def test_policy_in_force_is_shown(outcrop: CommandLine, policy: Path) -> None:
    policy.write_text(EXAMPLE)
    assert outcrop("repo", "policy", NAME).out.splitlines() == [
        f"the policy of {NAME} is {policy}",
        "keep    /versions/*/software",
        "except  /**/.lmod/cache",
    ]
    document = json.loads(outcrop("repo", "policy", NAME, "--json").out)
    assert (document["exists"], document["keep"]) == (True, ["/versions/*/software"])


@pytest.mark.parametrize(
    ("path", "promised", "answer"),
    [
        ("versions/1/software/gcc", True, "/versions/1/software/gcc is promised by /versions/*/software"),
        ("/versions/1/compat", False, "/versions/1/compat is not promised: no pattern of `keep` speaks of it"),
        (
            "/versions/1/software/.lmod/cache/x",
            False,
            "/versions/1/software/.lmod/cache/x is not promised: it is excepted by /**/.lmod/cache",
        ),
    ],
)
def test_path_is_judged(outcrop: CommandLine, policy: Path, path: str, promised: bool, answer: str) -> None:
    policy.write_text(EXAMPLE)
    assert outcrop("repo", "policy", NAME, "--path", path).out == answer + "\n"
    assert json.loads(outcrop("repo", "policy", NAME, "--path", path, "--json").out)["promised"] is promised


def test_malformed_policy_is_named_with_its_file(outcrop: CommandLine, policy: Path) -> None:
    policy.write_text('keep = ["software"]')
    answer = outcrop("repo", "policy", NAME)
    assert (answer.code, answer.out) == (3, "")
    assert f"{policy} is malformed: keep: the pattern 'software' does not begin with `/`" in answer.err
    assert "hint: `outcrop repo policy --help`" in answer.err


def test_repository_of_somebody_else_has_no_policy_here(outcrop: CommandLine, policy: Path) -> None:
    answer = outcrop("repo", "policy", "other.example.org")
    assert answer.code == 1
    assert f"your repositories are: {NAME}" in answer.err
