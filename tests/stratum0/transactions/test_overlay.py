"""Which ways of making a view are tried, and what is asked of one before it is trusted."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from outcrop.errors import MissingCapability
from outcrop.stratum0.transactions.overlay import (
    OverlayPlace,
    Way,
    make_trial,
    mount_by_program,
    possible_ways,
    require_faithful,
)


def test_only_root_tries_what_only_root_may() -> None:
    assert possible_ways(0) == (Way.KERNEL, Way.FUSE, Way.NAMESPACE)
    assert possible_ways(1000) == (Way.FUSE, Way.NAMESPACE)


def test_a_directory_that_forgets_what_was_deleted_is_faithful(tmp_path: Path) -> None:
    trial = make_trial(tmp_path / "trial")
    shutil.copytree(trial.directory / "lower", trial.view, dirs_exist_ok=True)
    require_faithful(trial)
    assert os.listdir(trial.view / "made again") == []


def test_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = os.environ["PATH"]
    os.environ["PATH"] = str(tmp_path)
    try:
        with pytest.raises(MissingCapability, match="fuse-overlayfs is not available: it is not installed"):
            mount_by_program(OverlayPlace(tmp_path, tmp_path), lifeline=0)
    finally:
        os.environ["PATH"] = path
