"""`outcrop detect`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from outcrop.cli.console import Console
from outcrop.cli.detect import command
from outcrop.errors import StorageError

from . import machines


@pytest.fixture
def zen2(tmp_path: Path) -> Path:
    path = tmp_path / "cpu info é"
    path.write_text(machines.ZEN2, "utf-8")
    return path


def run(*arguments: str) -> str:
    result = CliRunner(env={"EESSI_PROC_CPUINFO": None, "EESSI_MACHINE_TYPE": None}).invoke(
        command, [*arguments], obj=Console(), catch_exceptions=False
    )
    assert result.exit_code == 0, result.output
    return result.stdout


def test_it_prints_the_best_target(zen2: Path) -> None:
    assert run("--cpuinfo", str(zen2), "--machine", "x86_64") == "x86_64/amd/zen2\n"


def test_all_prints_the_options_in_one_line(zen2: Path) -> None:
    assert run("--cpuinfo", str(zen2), "--machine", "x86_64", "--all") == "x86_64/amd/zen2:x86_64/generic\n"


def test_explain_says_what_a_better_target_needs(zen2: Path) -> None:
    told = run("--cpuinfo", str(zen2), "--machine", "x86_64", "--explain")
    assert "x86_64/amd/zen3 does not fit: the processor lacks vaes, vpclmulqdq." in told


def test_json_tells_everything(zen2: Path) -> None:
    document = json.loads(run("--cpuinfo", str(zen2), "--machine", "x86_64", "--compat", "--json"))
    assert document["best"] == "x86_64/amd/zen2"
    assert document["mode"] == "compat"
    assert document["vendor"] == "AuthenticAMD"
    rules = {rule["target"]: rule for rule in document["rules"]}
    assert rules["x86_64/amd/zen3"] == {
        "target": "x86_64/amd/zen3",
        "fits": False,
        "vendor_differs": False,
        "missing": ["vaes"],
    }


def test_eessi_variables_name_the_file(zen2: Path) -> None:
    result = CliRunner(env={"EESSI_PROC_CPUINFO": str(zen2), "EESSI_MACHINE_TYPE": "x86_64"}).invoke(
        command, [], obj=Console(), catch_exceptions=False
    )
    assert result.stdout == "x86_64/amd/zen2\n"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="does not exist"):
        run("--cpuinfo", str(tmp_path / "nothing"))
