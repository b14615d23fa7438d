"""`outcrop repo refresh`: the promise is made, kept and taken back, and the other commands tell of it."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from outcrop.cli.console import Console
from outcrop.cli.repo_create import command as create_command
from outcrop.cli.repo_keys import command as keys_command
from outcrop.cli.repo_refresh import command
from outcrop.cvmfs.freshness_announcement import DEFAULT_REPLICATION_SECONDS, FreshnessAnnouncement
from outcrop.cvmfs.freshness_record import FRESHNESS_NAME
from outcrop.cvmfs.names import repository_name
from outcrop.errors import FormatError, InvalidValue, OutcropError, TrustError, UsageError
from outcrop.stratum0.repository import OwnedRepository
from outcrop.stratum0.signing.freshness_renewal import announce_freshness
from tests.cli.owned import NAME, own_repository
from tests.storage.conftest import prefix, running_s3, s3
from tests.storage.s3_server import BUCKET, S3Server

__all__ = ["prefix", "running_s3", "s3"]

SERVER = "http://s0.example.org/cvmfs/@fqrn@"


@pytest.fixture
def repository(tmp_path: Path) -> OwnedRepository:
    return own_repository(tmp_path)


def refresh(*arguments: str) -> Result:
    result = CliRunner().invoke(command, [NAME, *arguments], obj=Console())
    assert result.exception is None, result.exception
    return result


def refused(*arguments: str) -> OutcropError:
    error = CliRunner().invoke(command, [NAME, *arguments], obj=Console()).exception
    assert isinstance(error, OutcropError)
    assert error.hint
    return error


def shown_keys(*arguments: str) -> Result:
    return CliRunner().invoke(keys_command, [NAME, *arguments], obj=Console(), catch_exceptions=False)


def test_it_says_until_when_the_record_holds(repository: OwnedRepository) -> None:
    announced = refresh("--announce", "7")
    in_a_week = datetime.now(UTC) + timedelta(days=7)
    assert announced.stdout.startswith(f"the freshness record of {NAME} holds until {in_a_week:%Y-%m-%d}")
    assert announced.stdout.endswith(", for revision 1\n")
    assert announced.stderr == f"let a timer call `outcrop repo refresh {NAME}` well before that\n"
    again = refresh()
    assert again.stdout.startswith(f"the freshness record of {NAME} holds until ")
    assert again.stderr == ""


def test_the_same_in_json(repository: OwnedRepository) -> None:
    document = json.loads(refresh("--announce", "2", "--server", SERVER, "--replication", "1", "--json").stdout)
    freshness = document.pop("freshness")
    assert document == {"repository": NAME, "published": True, "announcement_changed": True}
    issued, expires = (datetime.fromisoformat(freshness.pop(key)) for key in ("issued", "expires"))
    assert expires - issued == timedelta(days=2)
    assert freshness == {
        "revision": 1,
        "oldest": 1,
        "maximum_age": 2 * 86400,
        "servers": [SERVER],
        "replication": 3600,
    }
    assert json.loads(refresh("--json").stdout)["announcement_changed"] is False


def test_what_is_not_said_again_stays_announced(repository: OwnedRepository) -> None:
    refresh("--announce", "2", "--server", SERVER, "--replication", "1")
    freshness = json.loads(refresh("--announce", "3", "--json").stdout)["freshness"]
    assert (freshness["maximum_age"], freshness["servers"], freshness["replication"]) == (3 * 86400, [SERVER], 3600)
    refresh("--withdraw")
    freshness = json.loads(refresh("--announce", "3", "--json").stdout)["freshness"]
    assert (freshness["servers"], freshness["replication"]) == ([], DEFAULT_REPLICATION_SECONDS)


def test_a_dry_run_says_what_would_be(repository: OwnedRepository) -> None:
    planned = refresh("--announce", "7", "--dry-run")
    assert f"the freshness record of {NAME} would hold until " in planned.stdout
    assert not repository.store.exists(FRESHNESS_NAME)
    refresh("--announce", "7")
    before = repository.store.read(FRESHNESS_NAME)
    assert "would hold" in refresh("--dry-run").stdout
    assert json.loads(refresh("--dry-run", "--json").stdout)["published"] is False
    assert refresh("--withdraw", "--dry-run").stdout == f"{NAME} would promise no freshness record any more\n"
    assert repository.store.read(FRESHNESS_NAME) == before


def test_a_promise_is_taken_back(repository: OwnedRepository) -> None:
    assert refresh("--withdraw").stdout == f"{NAME} promises no freshness record: nothing to withdraw\n"
    refresh("--announce", "7")
    assert refresh("--withdraw").stdout == f"{NAME} promises no freshness record any more\n"
    assert json.loads(refresh("--withdraw", "--json").stdout) == {
        "repository": NAME,
        "published": False,
        "announcement_changed": False,
        "freshness": None,
    }
    assert isinstance(refused(), InvalidValue)


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        (("--announce", "7", "--withdraw"), UsageError),
        (("--server", SERVER), UsageError),
        (("--withdraw", "--replication", "1"), UsageError),
        (("--announce", "7", "--server", "/srv"), InvalidValue),
        (("--announce", "7", *["--server", SERVER] * 9), UsageError),
        ((), InvalidValue),
    ],
)
def test_what_means_nothing_is_refused(
    repository: OwnedRepository, arguments: tuple[str, ...], kind: type[OutcropError]
) -> None:
    assert isinstance(refused(*arguments), kind)
    assert not repository.store.exists(FRESHNESS_NAME)


def test_readers_would_not_believe_it_without_a_whitelist(repository: OwnedRepository) -> None:
    refresh("--announce", "7")
    repository.store.remove(".cvmfswhitelist")
    assert isinstance(refused(), TrustError)


def test_an_expiring_whitelist_is_warned_of_and_no_obstacle(tmp_path: Path) -> None:
    own_repository(tmp_path, age=timedelta(days=29))
    result = refresh("--announce", "7")
    assert result.stderr.startswith(f"warning: the whitelist of {NAME} expires in ")


def test_meta_information_that_cannot_be_read_is_not_overwritten(repository: OwnedRepository) -> None:
    from outcrop.cvmfs.objects import ObjectKind
    from outcrop.stratum0.publishing.publication import publish_metainfo

    key = repository.signing_key()
    with repository.publishing():
        publish_metainfo(repository, key, repository.manifest(key), b"not JSON", int(datetime.now(UTC).timestamp()))
    assert isinstance(refused("--announce", "7"), FormatError)
    assert repository.manifest(key).metainfo == repository.store_database(b"not JSON", ObjectKind.METAINFO)


# The other commands


def test_keys_show_when_the_record_expires(repository: OwnedRepository) -> None:
    assert "freshness" not in shown_keys().stdout
    assert json.loads(shown_keys("--json").stdout)["freshness"] is None
    refresh("--announce", "7")
    assert "\nfreshness    record expires in 6 days, on " in shown_keys().stdout
    document = json.loads(shown_keys("--json").stdout)
    assert document["freshness"]["maximum_age"] == 7 * 86400
    assert document["warnings"] == []


def test_keys_warn_of_a_record_that_ends_or_is_gone(repository: OwnedRepository) -> None:
    announce_freshness(repository, FreshnessAnnouncement(7 * 86400), datetime.now(UTC) - timedelta(days=8))
    shown = shown_keys()
    assert "freshness    record expired on " in shown.stdout
    assert f"`outcrop repo refresh {NAME}` signs it anew" in shown.stderr
    repository.store.remove(FRESHNESS_NAME)
    assert "freshness    none that readers could believe" in shown_keys().stdout
    assert json.loads(shown_keys("--json").stdout)["freshness"]["expires"] is None


def test_a_repository_is_created_with_a_promise(tmp_path: Path, home: Path) -> None:
    os.environ["OUTCROP_DATA_DIR"] = str(tmp_path / "data")
    arguments = ["made.example.org", "--freshness", "7", "--storage", str(tmp_path / "storage")]
    planned = CliRunner().invoke(create_command, [*arguments, "--dry-run"], obj=Console(), catch_exceptions=False)
    assert "freshness record, good for 7 days\n" in planned.stdout
    made = CliRunner().invoke(create_command, arguments, obj=Console(), catch_exceptions=False)
    assert "let a timer call `outcrop repo refresh made.example.org`" in made.stderr
    repository = OwnedRepository.open(tmp_path / "data", repository_name("made.example.org"))
    assert repository.store.exists(FRESHNESS_NAME)


@pytest.mark.integration
def test_a_promise_is_kept_on_s3(tmp_path: Path, home: Path, s3: S3Server, prefix: str) -> None:
    os.environ["OUTCROP_DATA_DIR"] = str(tmp_path / "data")
    name = repository_name("made.example.org")
    arguments = [name, "--freshness", "7", "--storage", f"s3://{BUCKET}/{prefix}?endpoint={s3.endpoint}"]
    made = CliRunner().invoke(create_command, arguments, obj=Console(), catch_exceptions=False)
    assert made.exit_code == 0
    renewed = CliRunner().invoke(command, [name], obj=Console(), catch_exceptions=False)
    assert renewed.stdout.endswith(", for revision 1\n")
    repository = OwnedRepository.open(tmp_path / "data", name)
    assert repository.store.read(FRESHNESS_NAME).startswith(b"Foutcrop-freshness-1\n")
