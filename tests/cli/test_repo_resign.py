"""`outcrop repo resign`"""

from __future__ import annotations

import json
import os
from datetime import timedelta
from pathlib import Path

import pytest

from outcrop.cvmfs.objects import WHITELIST_NAME
from tests.cli.conftest import CommandLine
from tests.cli.owned import NAME, own_repository


def test_a_whitelist_is_renewed_and_a_dry_run_only_says_so(outcrop: CommandLine, tmp_path: Path) -> None:
    repository = own_repository(tmp_path, age=timedelta(days=20))
    before = repository.store.read(WHITELIST_NAME)
    planned = outcrop("repo", "resign", NAME, "--days", "60", "--dry-run")
    assert planned.out.startswith("the whitelist of tools.example.org would be valid until ")
    assert repository.store.read(WHITELIST_NAME) == before
    document = json.loads(outcrop("repo", "resign", NAME, "--days", "60", "--json").out)
    assert document["signed"] is True
    assert repository.store.read(WHITELIST_NAME) != before
    assert outcrop("repo", "keys", NAME).err == ""


def test_a_master_key_on_a_stick_signs_in_three_steps(outcrop: CommandLine, tmp_path: Path) -> None:
    repository = own_repository(tmp_path, age=timedelta(days=20))
    stick = tmp_path / "stick"
    stick.mkdir()
    key = repository.keys.master_key.rename(stick / "masterkey")
    refused = outcrop("repo", "resign", NAME)
    assert (refused.code, "--export-request" in refused.err) == (1, True)
    asked = stick / "request.txt"
    assert "would be in" in outcrop("repo", "resign", NAME, "--export-request", str(asked), "--dry-run").out
    assert not asked.exists()
    assert outcrop("repo", "resign", NAME, "--export-request", str(asked)).code == 0
    data = os.environ.pop("OUTCROP_DATA_DIR")
    signed = outcrop("repo", "resign", NAME, "--sign-request", str(asked), "--master-key", str(key))
    assert signed.code == 0, signed.err
    os.environ["OUTCROP_DATA_DIR"] = data
    signature = stick / "request.txt.signature"
    before = repository.store.read(WHITELIST_NAME)
    checked = outcrop("repo", "resign", NAME, "--import-signature", str(signature), "--dry-run")
    assert (checked.code, repository.store.read(WHITELIST_NAME)) == (0, before)
    assert outcrop("repo", "resign", NAME, "--import-signature", str(signature)).code == 0
    assert repository.store.read(WHITELIST_NAME) != before
    again = outcrop("repo", "resign", NAME, "--import-signature", str(signature))
    assert (again.code, "waits for its signature" in again.err) == (1, True)
    named = outcrop("repo", "resign", NAME, str(asked), "--import-signature", str(signature))
    assert named.code == 0


def test_a_key_file_that_is_none_is_named_for_what_it_is(outcrop: CommandLine, tmp_path: Path) -> None:
    repository = own_repository(tmp_path)
    refused = outcrop("repo", "resign", NAME, "--master-key", str(repository.keys.certificate))
    assert refused.code == 1
    assert "holds a certificate; expected is a private RSA key" in refused.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("--export-request", "a", "--import-signature", "b"),
        ("request",),
        ("--signature", "a"),
        ("--sign-request", "a"),
    ],
)
def test_options_that_contradict_each_other_are_refused(
    outcrop: CommandLine, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    own_repository(tmp_path)
    assert outcrop("repo", "resign", NAME, *arguments).code == 2


def test_a_fingerprint_is_dropped_only_if_it_is_there(outcrop: CommandLine, tmp_path: Path) -> None:
    own_repository(tmp_path)
    refused = outcrop("repo", "resign", NAME, "--drop", "AB:" * 19 + "AB")
    assert (refused.code, "is not on the published whitelist" in refused.err) == (1, True)
