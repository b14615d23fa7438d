"""`outcrop repo create`: where the objects go, and what is left when it fails."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from outcrop.cvmfs.names import repository_name
from outcrop.directories import data_directory
from outcrop.stratum0.settings import load_settings
from tests.cli.conftest import CommandLine
from tests.storage.conftest import prefix, running_s3, s3
from tests.storage.s3_server import BUCKET, S3Server

__all__ = ["prefix", "running_s3", "s3"]

FQRN = repository_name("made.example.org")


@pytest.fixture
def data(tmp_path: Path, home: Path) -> Path:
    directory = tmp_path / "data"
    os.environ["OUTCROP_DATA_DIR"] = str(directory)
    return directory


def test_a_dry_run_says_where_and_makes_nothing(outcrop: CommandLine, data: Path) -> None:
    done = outcrop("repo", "create", FQRN, "--storage", "s3://bucket/a?endpoint=http://127.0.0.1:9", "--dry-run")
    assert done.code == 0
    assert f"storage s3://bucket/a/{FQRN}?endpoint=http://127.0.0.1:9" in done.out
    assert not data.exists()


@pytest.mark.parametrize(
    ("storage", "problem"), [("s3://Bucket", "bucket"), ("s3:/bucket", "no place"), ("https://host/a", "no place")]
)
def test_an_address_that_means_nothing_is_refused(outcrop: CommandLine, data: Path, storage: str, problem: str) -> None:
    done = outcrop("repo", "create", FQRN, "--storage", storage)
    assert done.code == 1
    assert problem in done.err
    assert "s3://BUCKET/PREFIX" in done.err
    assert not data.exists()


def test_what_cannot_be_created_leaves_no_lock_behind(outcrop: CommandLine, data: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = outcrop("repo", "create", FQRN, "--storage", str(tmp_path / "file"))
    assert done.code == 7
    assert str(tmp_path / "file") in done.err
    assert {path.suffix for path in data.iterdir()} == {".masterkey", ".pub", ".key", ".crt"}
    # The same command goes on once the trouble is over.
    assert outcrop("repo", "create", FQRN, "--storage", str(tmp_path / "storage")).code == 0


@pytest.mark.integration
def test_a_repository_is_created_and_filled_on_s3(
    outcrop: CommandLine, data: Path, s3: S3Server, prefix: str, tmp_path: Path
) -> None:
    os.environ["AWS_ENDPOINT_URL_S3"] = s3.endpoint
    done = outcrop("repo", "create", FQRN, "--storage", f"s3://{BUCKET}/{prefix}", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["storage"] == f"s3://{BUCKET}/{prefix}/{FQRN}?endpoint={s3.endpoint}"
    # The record says which server it is, whatever the environment says another day.
    del os.environ["AWS_ENDPOINT_URL_S3"]
    assert load_settings(data_directory(), FQRN).storage.endswith(f"?endpoint={s3.endpoint}")
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "hello").write_text("world")
    done = outcrop("repo", "ingest", FQRN, str(tmp_path / "tree"), "--at", "/v1")
    assert done.code == 0, done.err
    done = outcrop("cat", FQRN, "/v1/hello")
    assert (done.code, done.out) == (0, "world"), done.err
    done = outcrop("repo", "serve", FQRN)
    assert done.code == 1
    assert f"{s3.endpoint}/{BUCKET}/{prefix}/{FQRN}" in done.err


def test_a_repository_moves_with_its_data_directory(outcrop: CommandLine, data: Path, tmp_path: Path) -> None:
    assert outcrop("repo", "create", FQRN).code == 0
    data.rename(tmp_path / "elsewhere")
    os.environ["OUTCROP_DATA_DIR"] = str(tmp_path / "elsewhere")
    assert load_settings(tmp_path / "elsewhere", FQRN).storage == str(tmp_path / "elsewhere" / "storage" / FQRN)
    assert outcrop("ls", FQRN, "/").code == 0
    (tmp_path / "tree").mkdir()
    assert outcrop("repo", "ingest", FQRN, str(tmp_path / "tree"), "--at", "/v1").code == 0
