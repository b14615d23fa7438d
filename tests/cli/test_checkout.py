"""`outcrop checkout`"""

from __future__ import annotations

import json
import os
from pathlib import Path

from tests.cli.conftest import CommandLine
from tests.cli.reading import arguments
from tests.client.published import CONTENTS


def test_repository_is_copied(outcrop: CommandLine, tmp_path: Path) -> None:
    repository, *key = arguments(tmp_path)
    answer = outcrop("checkout", repository, str(tmp_path / "copy"), *key)
    assert answer.code == 0
    assert "3 files in 3 directories, 5 symbolic links, 100,019 bytes" in answer.out
    for path, data in CONTENTS.items():
        assert (tmp_path / "copy" / os.fsdecode(path[1:])).read_bytes() == data


def test_part_is_copied_and_told_as_a_document(outcrop: CommandLine, tmp_path: Path) -> None:
    repository, *key = arguments(tmp_path)
    answer = outcrop("checkout", repository, str(tmp_path / "copy"), "--path", "shelf/inner", "--json", *key)
    document = json.loads(answer.out)
    assert (document["path"], document["files"], document["bytes"]) == ("/shelf/inner", 1, 10)
    assert os.listdir(tmp_path / "copy") == ["two"]


def test_dry_run_counts_and_writes_nothing(outcrop: CommandLine, tmp_path: Path) -> None:
    repository, *key = arguments(tmp_path)
    answer = outcrop("checkout", repository, str(tmp_path / "copy"), "--dry-run", *key)
    assert "would be copied" in answer.out
    assert "100,019 bytes" in answer.out
    assert not (tmp_path / "copy").exists()


def test_taken_destination_is_refused_before_the_network_is_asked(outcrop: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "precious").touch()
    _, *key = arguments(tmp_path)
    answer = outcrop("checkout", "http://127.0.0.1:1/books.example.org", str(tmp_path / "copy"), *key)
    assert answer.code == 1
    assert "copy already exists" in answer.err


def test_links_are_filled_in_on_request(outcrop: CommandLine, tmp_path: Path) -> None:
    repository, *key = arguments(tmp_path)
    outcrop("checkout", repository, str(tmp_path / "copy"), "--expand-links", *key)
    assert os.readlink(tmp_path / "copy" / "variant") == "README"
