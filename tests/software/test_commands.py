"""`outcrop sources fetch` and `outcrop stack build`, as far as they go without building."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from outcrop.cli.console import Console
from outcrop.cli.sources_fetch import command as sources_fetch
from outcrop.cli.stack_build import command as stack_build
from outcrop.errors import InvalidValue, NetworkError
from tests.software.small_stack import write_small_stack

needs_easybuild = pytest.mark.skipif(importlib.util.find_spec("easybuild") is None, reason="EasyBuild is not installed")


def run(command: click.Command, *arguments: str | Path) -> Result:
    return CliRunner().invoke(command, list(map(str, arguments)), obj=Console(), catch_exceptions=False)


@pytest.mark.parametrize("command", [sources_fetch, stack_build])
def test_the_help_has_examples(command: click.Command) -> None:
    assert "Examples:" in run(command, "--help").output


def test_an_easystack_outside_a_stack_needs_a_repository(tmp_path: Path) -> None:
    easystack = tmp_path / "x.yml"
    easystack.touch()
    with pytest.raises(InvalidValue, match="belongs to no stack"):
        run(stack_build, easystack, "--target", "x86_64/generic")


@pytest.mark.integration
@needs_easybuild
def test_a_dry_run_of_a_build_tells_the_plan(tmp_path: Path) -> None:
    small = write_small_stack(tmp_path, "12.2.0")
    arguments = (small.easystack, "--target", "x86_64/amd/zen4", "--tree", tmp_path / "tree", "--dry-run", "--json")
    plan = json.loads(run(stack_build, *arguments).stdout)
    assert plan["prefix"].endswith("/versions/2026.06/software/linux/x86_64/amd/zen4")
    assert [(one["module"], one["state"]) for one in plan["installations"]] == [
        ("GCCcore/12.2.0", "missing"),
        ("hello/1.0-GCCcore-12.2.0", "missing"),
    ]
    assert "znver" in plan["optarch"]
    assert any("GCC 12.2.0 is older than x86_64/amd/zen4" in note for note in plan["notes"])
    assert not (tmp_path / "tree").exists()


@pytest.mark.integration
@needs_easybuild
def test_fetching_tells_what_is_there_and_what_cannot_be_had(tmp_path: Path) -> None:
    small = write_small_stack(tmp_path, "12.2.0")
    mirror = ("--mirror", small.mirror)
    there = json.loads(run(sources_fetch, small.easystack, *mirror, "--json").stdout)
    assert [one["name"] for one in there["present"]] == ["hello-1.0.tar.gz"]
    (small.mirror / "h" / "hello" / "hello-1.0.tar.gz").unlink()
    plan = json.loads(run(sources_fetch, small.easystack, *mirror, "--dry-run", "--json").stdout)
    assert [one["state"] for one in plan["files"]] == ["missing"]
    with pytest.raises(NetworkError, match=r"h/hello/hello-1\.0\.tar\.gz"):
        run(sources_fetch, small.easystack, *mirror, "--debian-mirror", (tmp_path / "no-archive").as_uri())
