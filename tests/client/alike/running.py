"""`outcrop run` on this machine, in namespaces of its own, so that nothing of it can stay."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.client.alike.making import ROOT
from tests.client.ladder.site import PRIVATE_NAMESPACES, reason_against_machines

_SECONDS = 60


def run_alone(way: str, *words: str, directory: Path, environment: Mapping[str, str]) -> str:
    """What `outcrop run --way WAY WORDS` says, with its cache and memory in `directory`. Skips where there are no
    namespaces."""
    reason = reason_against_machines()
    if reason:
        pytest.skip(reason)
    done = subprocess.run(
        [*PRIVATE_NAMESPACES, sys.executable, "-m", "outcrop", "run", "--way", way, *words],
        cwd=ROOT,
        env={
            **os.environ,
            "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}",
            "OUTCROP_CACHE_DIR": str(directory / "cache"),
            "OUTCROP_STATE_DIR": str(directory / "state"),
            **environment,
        },
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout
