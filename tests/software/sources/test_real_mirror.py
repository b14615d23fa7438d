"""The machine's own package mirror, over the real network."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from outcrop.errors import NetworkError
from outcrop.software.plan import FileRole, WantedFile
from outcrop.software.sources.apt_sources import package_mirrors, read_apt_sources
from outcrop.software.sources.debian import IndexCache
from outcrop.software.sources.download import Downloads
from outcrop.software.sources.fetch import FetchSettings, fetch_sources
from outcrop.software.sources.mirror import FileState, survey

SEQTK = WantedFile(
    "v1.4.tar.gz",
    "s/seqtk",
    FileRole.SOURCE,
    ("d124604ec24f29ed14ce127426ab90e0f3a2c0280c80d1a3ff8b1c09feede19c",),
)
"""Small, and unmodified in Debian's archive."""


@pytest.mark.integration
@pytest.mark.slow
def test_a_source_of_the_demo_comes_from_this_machines_mirror(tmp_path: Path) -> None:
    mirrors = package_mirrors(read_apt_sources())
    if not mirrors:
        pytest.skip("apt names no mirror on this machine")
    try:
        IndexCache(tmp_path / "cache" / "source-indices", Downloads(tmp_path)).index(mirrors[0], "trixie")
    except NetworkError as error:
        pytest.skip(f"no index of source packages: {error.message}")
    settings = FetchSettings(tmp_path / "cache", os.environ, debian_releases=("trixie",))
    outcome = fetch_sources([SEQTK], tmp_path / "mirror", settings)
    outcome.require_complete()
    assert [one.origin for one in outcome.fetched] == ["Debian"]
    assert survey([SEQTK], tmp_path / "mirror")[0].state is FileState.PRESENT
