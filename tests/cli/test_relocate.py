"""`outcrop relocate`"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from outcrop.cli.console import Console
from outcrop.cli.relocate import command
from outcrop.errors import InvalidValue, OutcropError, UsageError
from tests.client.relocate.trees import OLD, contents, make_tree

Answer = tuple[str, str]
Relocate = Callable[..., Answer]


@pytest.fixture
def relocate(capfd: pytest.CaptureFixture[str]) -> Relocate:
    """Calls the command, whose errors come out as they are."""

    def call(*arguments: str | Path) -> Answer:
        capfd.readouterr()
        with command.make_context("relocate", [str(one) for one in arguments], obj=Console()) as context:
            command.invoke(context)
        out, err = capfd.readouterr()
        return out, err

    return call


@pytest.fixture
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tree(tmp_path_factory.mktemp("t", numbered=True) / "tree")


FROM = ("--from", str(OLD), "--to", "/s/x")


def test_what_was_changed_is_told_by_kind(relocate: Relocate, tree: Path) -> None:
    out, err = relocate(tree, *FROM)
    assert [line.split() for line in out.splitlines()][:2] == [["shebang", "1", "1"], ["text", "3", "3"]]
    assert f"{OLD} to /s/x, 6 files of 6 changed" in err
    assert "lib/untouched: the old prefix follows a variable or is part of a longer path" in err


def test_dry_run_tells_the_same_and_changes_nothing(relocate: Relocate, tree: Path) -> None:
    before = contents(tree)
    plan, err = relocate(tree, *FROM, "--dry-run")
    assert "6 files of 6 would be changed" in err
    assert contents(tree) == before
    assert relocate(tree, *FROM)[0] == plan


def test_json_lists_every_file(relocate: Relocate, tree: Path) -> None:
    document = json.loads(relocate(tree, *FROM, "--json")[0])
    assert (document["from"], document["to"], document["changed_now"]) == (str(OLD), "/s/x", 6)
    assert document["places"]["interpreter"] == 1
    assert {change["path"] for change in document["changes"]} >= {"bin/tool", "bin/script", "lib/a.py"}
    assert document["remarks"][0]["reason"] == "inner"
    assert document["proof"] is None


def test_a_relocated_tree_needs_no_from(relocate: Relocate, tree: Path) -> None:
    relocate(tree, *FROM)
    _, err = relocate(tree, "--to", "/s/y")
    assert "6 files of 6 changed" in err
    _, err = relocate(tree, "--to", "/s/y")
    assert "nothing to change" in err


def test_too_long_a_path_offers_a_link(relocate: Relocate, tree: Path) -> None:
    with pytest.raises(InvalidValue, match="is too long") as caught:
        relocate(tree, "--from", OLD)
    assert "--link" in caught.value.hint


def test_a_link_is_made_and_compiled_in(
    relocate: Relocate, tree: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with pytest.raises(OutcropError, match="is too long"):
        relocate(tree, "--from", OLD, "--link", tree.parent / ("l" * 40))
    # The shortest path that a test may use is longer than any repository's name.
    link = tree.parent / "l"
    original = "/cvmfs/" + "r" * 100
    (tree / "text").write_text(f"{original}/x")
    relocate(tree, "--from", original, "--link", link)
    assert link.samefile(tree)
    assert (tree / "text").read_text() == f"{link}/x"


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--prove",), "wants a command"),
        (("--", "true"), "only run with `--prove`"),
        (("--prove", "--dry-run", "--", "true"), "relocates nothing"),
    ],
)
def test_a_proof_and_its_command_go_together(
    relocate: Relocate, tree: Path, arguments: tuple[str, ...], problem: str
) -> None:
    before = contents(tree)
    with pytest.raises(UsageError, match=problem):
        relocate(tree, *FROM, *arguments)
    assert contents(tree) == before


def test_a_tree_elsewhere_cannot_be_proven_yet(relocate: Relocate, tree: Path) -> None:
    with pytest.raises(InvalidValue, match="is not there") as caught:
        relocate(tree, *FROM, "--prove", "--", "true")
    assert f"mv {tree} /s/x" in caught.value.hint


def test_the_command_has_examples() -> None:
    assert isinstance(command, click.Command)
    assert "--prove" in (command.epilog or "")
