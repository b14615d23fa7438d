"""A publisher that is killed at any moment: readers see the old revision or the new one, and the next publish works."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from outcrop.storage.directory import DirectoryStore
from tests.conformance.section16 import check_repository
from tests.stratum0.reading import entries, published_manifest, published_tree

FQRN = "killed.example.org"
ROUNDS = 12


def outcrop(data: Path, *arguments: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "OUTCROP_DATA_DIR": str(data)}
    command = [sys.executable, "-m", "outcrop", "-q", *arguments]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def run(data: Path, *arguments: str) -> bytes:
    with outcrop(data, *arguments) as process:
        output, complaint = process.communicate()
        assert process.returncode == 0, complaint
        return output


@pytest.mark.fault
@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=["kill", "ctrl-c"])
def test_a_publish_that_is_ended_at_any_moment_is_whole_or_not_there(tmp_path: Path, number: signal.Signals) -> None:
    seed = int(os.environ.get("OUTCROP_TEST_SEED", random.randrange(2**32)))
    sys.stderr.write(f"OUTCROP_TEST_SEED={seed} replays this\n")
    moments = random.Random(seed)
    data, storage = tmp_path / "data", tmp_path / "storage" / FQRN
    run(data, "repo", "create", FQRN, "--storage", str(storage))
    store = DirectoryStore(storage)
    took = 2.0
    for attempt in range(ROUNDS):
        tree = _tree(tmp_path / f"tree{attempt}", attempt)
        before, revision = set(entries(store)), published_manifest(store).revision
        with outcrop(data, "repo", "ingest", FQRN, str(tree), "--at", f"/v{attempt}") as process:
            time.sleep(moments.uniform(0, took * 1.1))
            process.send_signal(number)
            _, complaint = process.communicate()
        whole = before | {f"/v{attempt}".encode()} | {f"/v{attempt}".encode() + path for path in _paths(tree)}
        if published_manifest(store).revision == revision:
            assert set(entries(store)) == before
            if number == signal.SIGINT:
                # Before any line of ours runs, Python itself ends with a traceback of its own start-up.
                assert process.returncode in (130, -signal.SIGINT, 0) or b"<frozen" in complaint, complaint
        else:
            assert set(entries(store)) == whole
        began = time.monotonic()
        outcome = json.loads(run(data, "repo", "ingest", FQRN, str(tree), "--at", f"/v{attempt}", "--json"))
        took = time.monotonic() - began
        assert set(entries(store)) == whole, outcome
        assert list((storage / "data" / "txn").iterdir()) == []
    key = (data / f"{FQRN}.pub").read_bytes()
    assert check_repository(storage, [key], FQRN, now=datetime.now(UTC), all_revisions=True) == []
    assert len(published_tree(store).nested_mountpoints()) == 2 * ROUNDS


def _tree(top: Path, seed: int) -> Path:
    noise = random.Random(seed)
    for directory in ("a", "a/b", "c"):
        (top / directory).mkdir(parents=True)
        for number in range(60):
            (top / directory / f"f{number}").write_bytes(noise.randbytes(noise.randrange(20_000)))
    (top / "a" / ".cvmfscatalog").touch()
    (top / "a" / "b" / ".cvmfscatalog").touch()
    return top


def _paths(tree: Path) -> set[bytes]:
    base = os.fsencode(tree)
    return {os.fsencode(path)[len(base) :] for path in tree.rglob("*")}
