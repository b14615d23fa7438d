"""`outcrop repo keys`"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from outcrop.stratum0.signing.rotation import begin
from tests.cli.conftest import CommandLine
from tests.cli.owned import NAME, own_repository


def test_everything_that_expires_is_shown(outcrop: CommandLine, tmp_path: Path) -> None:
    repository = own_repository(tmp_path)
    shown = outcrop("repo", "keys", NAME)
    assert (shown.code, shown.err) == (0, "")
    lines = shown.out.splitlines()
    assert lines[0] == f"master key   the file {repository.keys.master_key}"
    assert "3072 bits, public key SHA-256 " in lines[1]
    assert lines[2] == "signing key  2048 bits, certificate of CN=tools.example.org publisher"
    assert "clients do not look at that date" in lines[4]
    assert "whitelist    issued on " in lines[5]
    assert "expires in 29 days" in lines[6]
    assert lines[7].endswith(", ours")


def test_the_same_in_json(outcrop: CommandLine, tmp_path: Path) -> None:
    repository = own_repository(tmp_path)
    begin(repository, datetime.now(UTC), timedelta(0))
    document = json.loads(outcrop("repo", "keys", NAME, "--json").out)
    assert document["master_key"]["kind"] == "file"
    assert document["whitelist"]["days_left"] == 29
    assert document["whitelist"]["certificates"] == [
        {"fingerprint": document["signing_key"]["fingerprint"], "whose": "ours"}
    ]
    assert document["signing_key"]["days_left"] in (364, 365)
    assert document["rotation"]["phase"] == "prepared"
    assert document["warnings"] == []


def test_it_warns_from_fourteen_days_and_still_ends_well(outcrop: CommandLine, tmp_path: Path) -> None:
    own_repository(tmp_path, age=timedelta(days=20))
    shown = outcrop("repo", "keys", NAME)
    assert shown.code == 0
    assert shown.err.startswith("warning: the whitelist of tools.example.org expires in 9 days")


def test_an_expired_whitelist_and_an_offline_key_are_told(outcrop: CommandLine, tmp_path: Path) -> None:
    own_repository(tmp_path, age=timedelta(days=40)).keys.master_key.unlink()
    shown = outcrop("repo", "keys", NAME)
    assert shown.code == 0
    assert "master key   elsewhere" in shown.out
    assert "expired on" in shown.out
    assert "--export-request" in shown.err


def test_a_secret_that_others_may_read_is_warned_of(outcrop: CommandLine, tmp_path: Path) -> None:
    repository = own_repository(tmp_path)
    repository.keys.master_key.chmod(0o644)
    shown = outcrop("repo", "keys", NAME)
    assert shown.code == 0
    assert "can be read by others" in shown.err


def test_a_move_to_a_token_is_planned_without_asking_it(outcrop: CommandLine, tmp_path: Path) -> None:
    repository = own_repository(tmp_path)
    planned = outcrop("repo", "keys", NAME, "--move-master-to-token", "pkcs11:token=box", "--dry-run")
    assert planned.code == 0
    assert planned.out.splitlines() == [
        f"put {repository.keys.master_key} on the token box as 'tools.example.org', unless such a key is there",
        f"let pkcs11:token=box;object=tools.example.org sign, and hold that against {repository.keys.public_key}",
        "record the URI as the repository's master key",
    ]
    assert outcrop("repo", "keys", NAME, "--dry-run").code == 2
