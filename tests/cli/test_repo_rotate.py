"""`outcrop repo rotate`"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import CommandLine
from tests.cli.owned import NAME, own_repository


def test_one_call_can_do_all_of_it(outcrop: CommandLine, tmp_path: Path) -> None:
    repository = own_repository(tmp_path)
    before = repository.keys.signing_key.read_bytes()
    planned = outcrop("repo", "rotate", NAME, "--grace", "1", "--wait", "--finish", "--dry-run").out.splitlines()
    assert planned == [
        "would make tools.example.org.key.next and tools.example.org.crt.next",
        "would sign a whitelist that lists the present and the next certificate",
        "would wait 1 second, for caches to forget what is older",
        "would put the next key in the place of tools.example.org.key and sign the manifest with it",
        "would wait 1 second, for caches to forget what is older",
        "would sign a whitelist without the old certificate",
    ]
    assert not repository.keys.rotation.exists()
    done = outcrop("repo", "rotate", NAME, "--grace", "1", "--wait", "--finish")
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert [line.removeprefix("done: ") for line in lines[:-1]] == [line.removeprefix("would ") for line in planned]
    assert lines[-1].endswith("the old one is on no whitelist any more")
    assert repository.keys.signing_key.read_bytes() != before
    assert json.loads(outcrop("repo", "keys", NAME, "--json").out)["rotation"] is None


def test_a_grace_that_is_too_short_for_caches_is_warned_of(outcrop: CommandLine, tmp_path: Path) -> None:
    own_repository(tmp_path)
    warned = outcrop("repo", "rotate", NAME, "--grace", "5", "--dry-run").err
    assert (
        warned == "warning: readers behind caches may be 61 seconds behind, and be refused after 5 seconds of grace\n"
    )


def test_a_grace_that_is_given_later_replaces_the_one_that_it_began_with(outcrop: CommandLine, tmp_path: Path) -> None:
    repository = own_repository(tmp_path)
    assert outcrop("repo", "rotate", NAME).code == 0
    hurried = ("repo", "rotate", NAME, "--grace", "0", "--wait", "--finish")
    record = repository.keys.rotation.read_bytes()
    planned = outcrop(*hurried, "--dry-run")
    assert planned.out.startswith("would give caches 0 seconds instead of 61 seconds\nwould ")
    assert repository.keys.rotation.read_bytes() == record
    done = outcrop(*hurried)
    assert "be refused after 0 seconds of grace" in done.err
    assert done.out.splitlines()[-1].endswith("the old one is on no whitelist any more")


def test_calls_before_their_time_say_when_it_comes(outcrop: CommandLine, tmp_path: Path) -> None:
    own_repository(tmp_path, ttl=3600)
    first = outcrop("repo", "rotate", NAME)
    assert "next: from " in first.out
    assert first.err == ""
    document = json.loads(outcrop("repo", "rotate", NAME, "--json").out)
    assert (document["steps"], document["phase"]) == ([], "announced")
    assert document["due"] is not None
    assert "rotation     announced, to " in outcrop("repo", "keys", NAME).out


def test_it_goes_on_call_by_call_and_a_renewal_ends_it(outcrop: CommandLine, tmp_path: Path) -> None:
    own_repository(tmp_path)
    first = json.loads(outcrop("repo", "rotate", NAME, "--grace", "0", "--json").out)
    assert first["steps"] == ["begin", "announce"]
    second = json.loads(outcrop("repo", "rotate", NAME, "--wait", "--json").out)
    assert second["steps"][-1] == "switch"
    assert "`outcrop repo resign tools.example.org` or" in outcrop("repo", "rotate", NAME).out
    assert outcrop("repo", "rotate", NAME, "--finish", "--wait").code == 0
    refused = outcrop("repo", "rotate", NAME, "--finish")
    assert (refused.code, "begins one" in refused.err) == (1, True)


def test_an_offline_master_key_gets_a_request(outcrop: CommandLine, tmp_path: Path) -> None:
    repository = own_repository(tmp_path)
    key = repository.keys.master_key.rename(tmp_path / "masterkey")
    asked, signature = str(tmp_path / "request"), str(tmp_path / "request.signature")
    began = outcrop("repo", "rotate", NAME, "--grace", "0", "--export-request", asked)
    assert began.code == 0, began.err
    assert "let the master key sign" in began.out
    assert outcrop("repo", "resign", NAME, "--sign-request", asked, "--master-key", str(key)).code == 0
    assert outcrop("repo", "resign", NAME, "--import-signature", signature).code == 0
    assert json.loads(outcrop("repo", "rotate", NAME, "--wait", "--json").out)["phase"] == "switched"


def test_a_master_key_is_replaced_in_two_calls(outcrop: CommandLine, tmp_path: Path) -> None:
    repository = own_repository(tmp_path)
    files = repository.keys
    assert outcrop("repo", "rotate", NAME, "--master", "--dry-run").out.startswith("would make tools.example.org.maste")
    assert outcrop("repo", "rotate", NAME, "--master", "--activate").code == 1
    assert not files.next_master_key.exists()
    assert f"clients need {files.next_public_key}" in outcrop("repo", "rotate", NAME, "--master").out
    assert "next (prepared): 3072 bits" in outcrop("repo", "keys", NAME).out
    upcoming = files.next_public_key.read_bytes()
    assert "would sign" in outcrop("repo", "rotate", NAME, "--master", "--activate", "--dry-run").out
    done = outcrop("repo", "rotate", NAME, "--master", "--activate", "--json")
    assert json.loads(done.out)["master_rotation"] == "none"
    assert files.public_key.read_bytes() == upcoming
    assert "is the master key before this one" in outcrop("repo", "keys", NAME).err
    assert outcrop("repo", "rotate", NAME, "--master").code == 1


@pytest.mark.parametrize("arguments", [("--activate",), ("--master", "--wait"), ("--master", "--grace", "1")])
def test_options_that_do_not_go_together_are_refused(
    outcrop: CommandLine, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    own_repository(tmp_path)
    assert outcrop("repo", "rotate", NAME, *arguments).code == 2


def test_a_lost_key_is_replaced_without_it(outcrop: CommandLine, tmp_path: Path) -> None:
    repository = own_repository(tmp_path)
    refused = outcrop("repo", "rotate", NAME, "--lost")
    assert (refused.code, "is there" in refused.err) == (1, True)
    repository.keys.signing_key.unlink()
    assert f"`outcrop repo rotate {NAME} --lost` makes a new one" in outcrop("repo", "rotate", NAME).err

    done = outcrop("repo", "rotate", NAME, "--lost", "--grace", "0", "--wait", "--finish")
    assert done.code == 0, done.err
    assert done.out.splitlines()[-1].endswith("the old one is on no whitelist any more")
    assert outcrop("repo", "tag", NAME, "again").code == 0
    assert outcrop("repo", "check", NAME, "--full").code == 0


def test_the_next_call_is_told_with_the_master_key_that_was_given(outcrop: CommandLine, tmp_path: Path) -> None:
    repository = own_repository(tmp_path)
    key = repository.keys.master_key.rename(tmp_path / "masterkey")
    began = outcrop("repo", "rotate", NAME, "--grace", "0", "--master-key", str(key))
    assert f"`outcrop repo rotate {NAME} --master-key {key}`" in began.out
    switched = outcrop("repo", "rotate", NAME, "--wait", "--master-key", str(key))
    assert f"`outcrop repo resign {NAME} --master-key {key}`" in switched.out


def test_an_activation_tells_of_no_file_that_is_not_there(outcrop: CommandLine, tmp_path: Path) -> None:
    repository = own_repository(tmp_path)
    repository.keys.master_key.rename(tmp_path / "masterkey")
    assert outcrop("repo", "rotate", NAME, "--master", "--activate", "--dry-run").code == 1
    assert outcrop("repo", "rotate", NAME, "--master").code == 0
    done = outcrop("repo", "rotate", NAME, "--master", "--activate")
    assert "masterkey.previous" not in done.out + done.err
    assert f"move {NAME}.pub.previous to a safe place" in done.err
