"""The libraries, compiled once, and a tree that they show."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from outcrop.client.preload.library import Workshop, why_no_library_can_be_used
from outcrop.client.preload.views import Libraries
from tests.client.preload.shown import PREFIX, Shown


@pytest.fixture(scope="session")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> Libraries:
    reason = why_no_library_can_be_used()
    if reason:
        pytest.skip(reason)
    workshop = Workshop.of(tmp_path_factory.mktemp("preload") / "libraries", os.environ)
    if workshop.compiler is None:
        pytest.skip("there is no C compiler")
    return workshop.make()


@pytest.fixture
def shown(libraries: Libraries, tmp_path: Path) -> Shown:
    if os.path.lexists(PREFIX):
        pytest.skip(f"{PREFIX} is there")
    tree, outside = tmp_path / "tree", tmp_path / "outside"
    tree.mkdir()
    outside.mkdir()
    return Shown(libraries, tree, outside)
