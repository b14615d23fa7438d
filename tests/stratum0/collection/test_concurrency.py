"""Publishers and garbage collection at the same time, as processes of their own, and collections that are killed."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from outcrop.cvmfs.objects import ObjectKind, ObjectName
from tests.conftest import ROOT
from tests.stratum0 import worker
from tests.stratum0.collecting import collect, needed, publish, texts, violations
from tests.stratum0.conftest import Publisher

KILLS = 8
FILES_OF_A_REVISION = 60
REMOVAL_SECONDS = 0.005
PATIENCE_SECONDS = 30


def seed() -> int:
    """A seed for this run, told so that a failure can be replayed."""
    number = int(os.environ.get("OUTCROP_TEST_SEED", random.randrange(2**16)))
    sys.stderr.write(f"OUTCROP_TEST_SEED={number} replays this\n")
    return number


def started(role: str, publisher: Publisher, number: int, stop: Path) -> subprocess.Popen[bytes]:
    """A worker that is about to begin."""
    command = [sys.executable, "-m", "tests.stratum0.worker", role, str(publisher.directory), str(number), str(stop)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n", process.communicate()[1]
    return process


def ended(process: subprocess.Popen[bytes]) -> int:
    """The number that the worker told in the end."""
    with process:
        output, complaint = process.communicate()
    assert process.returncode == 0, complaint.decode()
    return int(output)


@pytest.mark.fault
@pytest.mark.slow
def test_two_publishers_and_a_collector_lose_nothing_and_leave_nothing(publisher: Publisher, tmp_path: Path) -> None:
    first = seed()
    stop = tmp_path / "stop"
    publisher.now = worker.NOW
    publishers = [started("publish", publisher, number, stop) for number in (first, first + 1)]
    collector = started("collect", publisher, int(worker.NOW.timestamp()), stop)
    for process in publishers:
        assert ended(process) == worker.ROUNDS
    stop.touch()
    assert ended(collector) > 0, "nothing was collected meanwhile"
    expected = {
        f"{worker.place(number)}/{name}".encode(): data
        for number in (first, first + 1)
        for name, data in worker.contents(number, worker.ROUNDS - 1).items()
    }
    assert texts(publisher.repository.store) == expected
    assert violations(publisher) == []
    collect(publisher, days=0)
    assert set(publisher.repository.store.names()) == needed(publisher.repository)
    assert texts(publisher.repository.store) == expected
    assert violations(publisher) == []


@pytest.mark.fault
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_collection_that_is_killed_at_any_moment_harms_nothing_and_the_next_one_ends_it(
    publisher: Publisher, tmp_path: Path
) -> None:
    moments = random.Random(seed())
    store = publisher.repository.store
    took = 0.3
    removed_partly = 0
    manifest = publish(publisher, revision_files("first"))
    for attempt in range(KILLS):
        oldest = publisher.storage / ObjectName(manifest.root_catalog, ObjectKind.CATALOG).path
        for version in range(2):
            manifest = publish(publisher, revision_files(f"{attempt}.{version}"))
        before, present = texts(store), set(store.names())
        # The file that stops it exists, so that it collects once.
        collector = started("collect", publisher, int(publisher.now.timestamp()), tmp_path)
        if attempt % 2:
            # The removal takes a small part of the time, so half of the kills aim at it.
            wait_until_gone(oldest)
            time.sleep(moments.uniform(0, REMOVAL_SECONDS))
        else:
            time.sleep(moments.uniform(0, took))
        collector.kill()
        with collector:
            collector.communicate()
        left = set(store.names())
        removed_partly += bool(present - left) and bool(left - needed(publisher.repository))
        assert texts(store) == before
        assert [one for one in violations(publisher) if "reflog" not in f"{one}"] == []
        began = time.monotonic()
        collect(publisher, days=0)
        took = time.monotonic() - began
        assert texts(store) == before
        assert set(store.names()) == needed(publisher.repository)
        assert violations(publisher) == []
    assert removed_partly, "no collection was killed while it removed objects"


def revision_files(text: str) -> dict[str, str]:
    files = {f"d{one % 4}/f{one}": f"{text}.{one}" for one in range(FILES_OF_A_REVISION)}
    return files | {"d1/.cvmfscatalog": "", "d2/.cvmfscatalog": ""}


def wait_until_gone(path: Path) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while path.exists():
        assert time.monotonic() < deadline, f"{path} was not collected"
