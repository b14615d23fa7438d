"""`outcrop stat`"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import CommandLine
from tests.cli.reading import arguments


def test_chunks_of_a_file_are_shown(outcrop: CommandLine, tmp_path: Path) -> None:
    repository, *key = arguments(tmp_path)
    document = json.loads(outcrop("stat", repository, "/shelf/one", "--json", *key).out)
    assert [(chunk["offset"], chunk["size"]) for chunk in document["chunks"]] == [
        (0, 40_000), (40_000, 40_000), (80_000, 20_000),
    ]  # fmt: skip
    assert document["marks"] == ["chunked"]
    assert document["compression"] == "zlib"
    lines = outcrop("stat", repository, "/shelf/one", *key).out.splitlines()
    assert sum(line.startswith("chunk ") for line in lines) == 3


def test_catalog_that_an_entry_lives_in_is_named(outcrop: CommandLine, tmp_path: Path) -> None:
    repository, *key = arguments(tmp_path)
    inner = json.loads(outcrop("stat", repository, "/shelf/inner/two", "--json", *key).out)
    mountpoint = json.loads(outcrop("stat", repository, "/shelf/inner", "--json", *key).out)
    assert inner["catalog"]["path"] == "/shelf/inner"
    assert mountpoint["catalog"]["path"] == "/"
    assert mountpoint["marks"] == ["nested_mountpoint"]


def test_link_is_shown_itself_with_both_targets(outcrop: CommandLine, tmp_path: Path) -> None:
    repository, *key = arguments(tmp_path)
    document = json.loads(outcrop("stat", repository, "/variant", "--json", *key).out)
    assert (document["raw_target"], document["target"]) == ("$(BOOK:-README)", "README")
    text = outcrop("stat", repository, "/variant", *key).out
    assert "$(BOOK:-README)" in text
    assert "filled in    README" in text


def test_link_is_filled_in_as_the_machine_is_configured(
    outcrop: CommandLine, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository, _, key = arguments(tmp_path)
    etc = tmp_path / "etc"
    (etc / "config.d").mkdir(parents=True)
    local = etc / "config.d" / "books.example.org.local"
    local.write_text(f"CVMFS_SERVER_URL={repository}\nCVMFS_PUBLIC_KEY={key}\nBOOK=shelf/one\n")

    def target() -> str:
        return str(json.loads(outcrop("stat", "books.example.org", "/variant", "--json").out)["target"])

    monkeypatch.setenv("OUTCROP_CVMFS_ETC", str(etc))
    assert target() == "shelf/one"
    own = home / ".config/outcrop/config.toml"
    own.parent.mkdir(parents=True, exist_ok=True)
    own.write_text('[variables]\nBOOK = "shelf/inner"\n')
    assert target() == "shelf/inner"
    monkeypatch.setenv("BOOK", "shelf")
    assert target() == "shelf"


def test_root_is_shown_by_default(outcrop: CommandLine, tmp_path: Path) -> None:
    assert outcrop("stat", *arguments(tmp_path)).out.startswith("path         /\ntype         directory\n")
