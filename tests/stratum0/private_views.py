"""Runs a scenario of `transaction_scenarios` where nothing of it can stay behind: in namespaces of its own."""

from __future__ import annotations

import functools
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from outcrop.stratum0.transactions.overlay import PROGRAM, Way
from tests.client.mount.private_place import reason_against_mounting

ROOT = Path(__file__).resolve().parents[2]
_SECONDS = 300
_SEED, _ROUNDS = os.environ.get("OUTCROP_TEST_SEED"), os.environ.get("OUTCROP_TEST_ROUNDS")
"""Read before the tests begin, which see nothing of our variables."""
WAYS = [pytest.param(way, id=way.value) for way in Way]
USER_WAYS = [pytest.param(way, id=way.value) for way in (Way.FUSE, Way.NAMESPACE)]


@functools.cache
def _reason_against(way: Way) -> str:
    """Why views cannot be made in this way here; empty if they can."""
    if way is Way.KERNEL and os.geteuid() != 0:
        return "only root may mount overlayfs outside of a user namespace"
    if way is Way.FUSE and shutil.which(PROGRAM) is None:
        return f"{PROGRAM} is not installed"
    if way is Way.NAMESPACE:
        tried = subprocess.run(["unshare", "--user", "--map-root-user", "true"], capture_output=True, check=False)
        if tried.returncode != 0:
            return f"no user namespaces: {tried.stderr.decode(errors='replace').strip()}"
    return reason_against_mounting()


def play(scenario: str, directory: Path, way: Way, environment: Mapping[str, str] | None = None) -> None:
    """Runs the scenario of `transaction_scenarios` in `directory`; fails with what it said, skips where views cannot be
    made in that way."""
    reason = _reason_against(way)
    if reason:
        pytest.skip(reason)
    rootless = [] if os.geteuid() == 0 else ["--map-root-user"]
    namespaces = ["unshare", *rootless, "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child"]
    ended = subprocess.run(
        [*namespaces, "--mount-proc", sys.executable, "-m", "tests.stratum0.transaction_scenarios", scenario, directory,
         way.value],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=_SECONDS,
        check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout.decode(errors="replace")


def seeded(rounds: int) -> Mapping[str, str]:
    """Variables for a scenario of chance: a seed, which is told, and how often it goes round."""
    seed = _SEED or str(random.randrange(2**32))
    sys.stderr.write(f"OUTCROP_TEST_SEED={seed} replays this\n")
    return {"OUTCROP_TEST_SEED": seed, "OUTCROP_TEST_ROUNDS": _ROUNDS or str(rounds)}
