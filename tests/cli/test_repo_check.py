"""`outcrop repo check`"""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from outcrop.cli import repo_check
from outcrop.cli.console import Console
from outcrop.cvmfs.metainfo import Metainfo
from outcrop.cvmfs.names import repository_name
from outcrop.errors import IntegrityError
from outcrop.stratum0.create import create_repository, plan_creation
from outcrop.stratum0.publishing.incoming_directory import DirectoryTree
from outcrop.stratum0.publishing.ingest import IngestRequest, ingest
from outcrop.stratum0.settings import RepositorySettings

NAME = repository_name("check.example.org")


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory and a storage with a published repository, not to be changed."""
    place = tmp_path_factory.mktemp("owned")
    settings = RepositorySettings(name=NAME, storage=str(place / "storage" / NAME))
    repository = create_repository(plan_creation(place / "data", settings, Metainfo()), datetime.now(UTC))
    (place / "tree").mkdir()
    for number in range(5):
        (place / "tree" / f"file{number}").write_text(f"{number}" * 500)
    ingest(repository, IngestRequest(trees=(DirectoryTree(place / "tree"),)), now=datetime.now(UTC))
    return place


@pytest.fixture
def storage(original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The storage of a copy that this user owns."""
    shutil.copytree(original / "data", tmp_path / "data")
    shutil.copytree(original / "storage", tmp_path / "storage")
    record = tmp_path / "data" / f"{NAME}.toml"
    record.write_text(record.read_text().replace(str(original), str(tmp_path)))
    monkeypatch.setenv("OUTCROP_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("OUTCROP_STATE_DIR", str(tmp_path / "state"))
    return tmp_path / "storage" / NAME


def run(command: click.Command, *arguments: str) -> Result:
    return CliRunner().invoke(command, [NAME, *arguments], obj=Console())


def file_object(storage: Path) -> Path:
    """The object of some file."""
    return next(path for path in sorted(storage.glob("data/??/*")) if path.name[-1] not in "CHXM")


@pytest.mark.parametrize("options", [[], ["--full"], ["--no-tags"], ["--full", "--fresh"]])
def test_a_sound_repository_is_said_to_be_so(storage: Path, options: list[str]) -> None:
    result = run(repo_check.command, *options)

    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(f"{NAME} is sound: ")
    assert list((storage.parents[1] / "state").rglob("*.jsonl")) == []


def test_json_has_everything(storage: Path) -> None:
    file_object(storage).unlink()

    result = run(repo_check.command, "--json")

    document = json.loads(result.stdout)
    assert isinstance(result.exception, IntegrityError)
    assert (document["clean"], document["objects"], document["depth"]) == (False, 5, "fast")
    (problem,) = document["problems"]
    assert (problem["severity"], problem["kind"]) == ("damage", "missing")
    assert problem["path"].startswith("/file")
    assert f"outcrop repo repair {NAME}" in problem["remedy"]


def test_what_is_damaged_is_kept_for_a_repair(storage: Path) -> None:
    victim = file_object(storage)
    healthy = victim.read_bytes()
    victim.write_bytes(b"altered")

    assert run(repo_check.command).exit_code == 0
    assert isinstance(run(repo_check.command, "--full").exception, IntegrityError)

    kept = storage.parents[1] / "state" / "checks" / f"{NAME}.damaged"
    assert kept.read_text() == f"{victim.relative_to(storage)}\n"
    victim.write_bytes(healthy)
    assert run(repo_check.command, "--full").exit_code == 0
    assert not kept.exists()


def test_the_error_says_how_much_is_damaged_and_what_to_type(storage: Path) -> None:
    file_object(storage).write_bytes(b"altered")

    result = run(repo_check.command, "--full")

    assert isinstance(result.exception, IntegrityError)
    assert result.exception.message == f"the repository {NAME} is damaged: 1 file is gone or altered"
    assert f"outcrop repo repair {NAME} --from URL" in result.exception.hint
