"""Wheels come from the index that pip is set up for, by their digest, and stay in the mirror."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from outcrop.compat.debian.package_mirror import PackageMirror
from outcrop.compat.wheels.index import fetch_wheel
from outcrop.errors import IntegrityError, NetworkError, NotFound
from tests.compat.wheels.wheels_made_here import INDEX, MadeWheel
from tests.software.sources.pretended import PretendedNetwork

WHEEL = MadeWheel(name="a_thing")
OTHER = "https://other.example.org/simple"


@pytest.fixture(autouse=True)
def configured(monkeypatch: pytest.MonkeyPatch) -> None:
    """pip knows two indices, and nothing else."""
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", f"{OTHER}/")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", INDEX)


def fetched(directory: Path, network: PretendedNetwork | None, sha256: str = WHEEL.sha256) -> Path:
    return fetch_wheel(PackageMirror(directory, network), "a-thing", "1.0", sha256)


def test_a_wheel_is_fetched_once(tmp_path: Path) -> None:
    network = PretendedNetwork({f"{OTHER}/a-thing/": b"<html></html>", **WHEEL.pages()})
    path = fetched(tmp_path, network)
    assert path.read_bytes() == WHEEL.data
    asked = list(network.asked)
    assert asked[:2] == [f"{OTHER}/a-thing/", f"{INDEX}/a-thing/"]
    assert fetched(tmp_path, network) == fetched(tmp_path, None) == path
    assert network.asked == asked


def test_an_index_that_does_not_answer_is_passed_over(tmp_path: Path) -> None:
    assert fetched(tmp_path, PretendedNetwork(WHEEL.pages())).read_bytes() == WHEEL.data


def test_a_wheel_that_is_nowhere_is_told(tmp_path: Path) -> None:
    empty = {f"{index}/a-thing/": b"<html></html>" for index in (OTHER, INDEX)}
    with pytest.raises(NetworkError, match=f"is on no index of Python packages with the SHA-256 {WHEEL.sha256}"):
        fetched(tmp_path, PretendedNetwork(empty))
    with pytest.raises(NetworkError, match="404"):
        fetched(tmp_path, PretendedNetwork())


def test_without_a_network_only_the_mirror_is_asked(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"the wheel a-thing 1\.0"):
        fetched(tmp_path, None)


def test_another_file_in_its_place_is_not_kept(tmp_path: Path) -> None:
    pages = {**WHEEL.pages(), f"https://index.example.org/files/{WHEEL.file}": b"other"}
    with pytest.raises(IntegrityError):
        fetched(tmp_path, PretendedNetwork({**pages, f"{OTHER}/a-thing/": b""}))
    assert not list(tmp_path.rglob(WHEEL.sha256))
