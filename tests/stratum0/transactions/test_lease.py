"""Leases: overlapping writers are told who is first, disjoint ones go ahead, and no dead process holds anything."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from outcrop.cvmfs.names import repository_name
from outcrop.cvmfs.paths import ROOT, RepositoryPath, is_below, repository_path
from outcrop.errors import Busy, FormatError
from outcrop.stratum0.transactions.lease import LeaseKind, Leases, this_holder

NAME = repository_name("lease.example.org")
NOW = datetime(2026, 11, 21, 12, 30, tzinfo=UTC)


@pytest.fixture
def leases(tmp_path: Path) -> Leases:
    return Leases(tmp_path, NAME, "ann@builder")


def path(text: str | bytes) -> RepositoryPath:
    return repository_path(text)


@pytest.mark.parametrize(("held", "wanted"), [("/a", "/a"), ("/a", "/a/b/c"), ("/a/b", "/a"), ("/", "/x"), ("/x", "/")])
def test_overlapping_paths_conflict(leases: Leases, held: str, wanted: str) -> None:
    leases.take("first", [path(held)], "a build", NOW)
    with pytest.raises(Busy), leases.held([path(wanted)], "an ingest", NOW):
        pass
    with pytest.raises(Busy):
        leases.take("second", [path(wanted)], "another", NOW)


@pytest.mark.parametrize(("held", "wanted"), [("/a", "/ab"), ("/a/b", "/a/c"), ("/a b", "/a")])
def test_disjoint_paths_go_ahead(leases: Leases, held: str, wanted: str) -> None:
    leases.take("first", [path(held)], "a build", NOW)
    with leases.held([path(wanted)], "an ingest", NOW):
        assert {lease.paths for lease in leases.all()} == {(path(held),), (path(wanted),)}


def test_second_writer_is_told_what_is_held_by_whom_since_when_and_how_it_ends(leases: Leases) -> None:
    leases.take("20261121-123000", [path("/versions/2026.06")], "GCC 14", NOW)
    with pytest.raises(Busy) as caught:
        Leases(leases.directory.parent, NAME, "bob@laptop").take("other", [path("/versions")], "", NOW)
    for part in ("/versions of lease.example.org", "ann@builder", "2026-11-21 12:30:00", "GCC 14", "/versions/2026.06"):
        assert part in caught.value.message
    assert "outcrop repo abort lease.example.org --transaction 20261121-123000" in caught.value.hint


def test_lease_of_a_process_ends_with_its_block(leases: Leases) -> None:
    with pytest.raises(RuntimeError, match="gone wrong"), leases.held([ROOT], "an ingest", NOW):
        raise RuntimeError("gone wrong")
    assert leases.all() == []
    leases.take("next", [ROOT], "", NOW)


def test_lease_of_a_process_ends_with_its_death(leases: Leases) -> None:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        with leases.held([path("/a")], "an ingest", NOW):
            os.write(writing, b"!")
            time.sleep(60)
        os._exit(0)
    os.read(reading, 1)
    with pytest.raises(Busy):
        leases.take("second", [path("/a/b")], "", NOW)
    assert [lease.kind for lease in leases.all()] == [LeaseKind.PROCESS]
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    leases.take("second", [path("/a/b")], "", NOW)
    assert [lease.name for lease in leases.all()] == ["second"]
    os.close(reading)
    os.close(writing)


def test_a_process_is_waited_for(leases: Leases) -> None:
    holds, release = threading.Event(), threading.Event()

    def hold() -> None:
        with leases.held([ROOT], "an ingest", NOW):
            holds.set()
            release.wait(10)

    other = threading.Thread(target=hold)
    other.start()
    holds.wait(10)
    threading.Timer(0.2, release.set).start()
    with leases.held([path("/a")], "another", NOW, wait_seconds=20):
        assert [lease.purpose for lease in leases.all()] == ["another"]
    other.join()


def test_a_transaction_is_not_waited_for(leases: Leases) -> None:
    leases.take("first", [ROOT], "", NOW)
    began = time.monotonic()
    with pytest.raises(Busy), leases.held([path("/a")], "an ingest", NOW, wait_seconds=60):
        pass
    assert time.monotonic() - began < 10


def test_on_behalf_of_a_transaction_its_own_lease_is_no_obstacle(leases: Leases) -> None:
    leases.take("mine", [path("/a")], "", NOW)
    leases.take("theirs", [path("/b")], "", NOW)
    with leases.held([path("/a/x")], "publish", NOW, transaction="mine"):
        pass
    with pytest.raises(Busy), leases.held([path("/b")], "publish", NOW, transaction="mine"):
        pass
    leases.take("mine", [path("/a")], "once more", NOW)


def test_released_path_is_free(leases: Leases) -> None:
    leases.take("first", [ROOT], "", NOW)
    assert leases.of_transaction("first") is not None
    assert leases.release("first")
    assert not leases.release("first")
    assert leases.of_transaction("first") is None
    leases.require_free([ROOT])


def test_any_bytes_can_be_leased(leases: Leases) -> None:
    leases.take("strange", [path(b"/caf\xe9/%41/\n")], "", NOW)
    assert [lease.paths for lease in leases.all()] == [(b"/caf\xe9/%41/\n",)]
    with pytest.raises(Busy):
        leases.take("second", [path(b"/caf\xe9")], "", NOW)


def test_damaged_lease_is_named_and_can_be_taken_away(leases: Leases) -> None:
    leases.take("broken", [path("/a")], "", NOW)
    (leases.directory / "broken.transaction").write_bytes(b"{")
    with pytest.raises(FormatError) as caught:
        leases.take("second", [path("/b")], "", NOW)
    assert "repo abort lease.example.org --transaction broken" in caught.value.hint
    assert leases.transactions() == ["broken"]
    assert leases.release("broken")
    leases.take("second", [path("/b")], "", NOW)


def test_what_a_killed_writer_left_half_written_means_nothing(leases: Leases) -> None:
    leases.directory.mkdir()
    (leases.directory / ".half.transaction").write_bytes(b'{"pa')
    leases.take("first", [ROOT], "", NOW)
    assert sorted(one.name for one in leases.directory.iterdir()) == ["first.transaction", "lock"]


def test_holder_is_a_user_at_a_host() -> None:
    user, _, host = this_holder().partition("@")
    assert user
    assert host


def test_many_processes_never_hold_overlapping_paths(leases: Leases, tmp_path: Path) -> None:
    paths = [path(text) for text in ("/a", "/a/b", "/a/b/c", "/d", "/d/e", "/f")]
    (tmp_path / "journal").touch()
    children = [_in_a_process(partial(_take_in_turn, leases, paths, tmp_path / "journal", seed)) for seed in range(6)]
    for child in children:
        assert os.waitpid(child, 0)[1] == 0
    held: dict[str, RepositoryPath] = {}
    taken = 0
    for line in (tmp_path / "journal").read_text().splitlines():
        process, what, name = line.split(" ")
        if what == "ends":
            del held[process]
            continue
        wanted = path(name)
        assert not any(is_below(one, wanted) or is_below(wanted, one) for one in held.values()), line
        held[process] = wanted
        taken += 1
    assert taken > 6


def _in_a_process(work: Callable[[], None]) -> int:
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return child


def _take_in_turn(leases: Leases, paths: list[RepositoryPath], journal: Path, seed: int) -> None:
    choice = random.Random(seed)
    with journal.open("a", buffering=1) as lines:
        for _ in range(8):
            wanted = choice.choice(paths)
            try:
                with leases.held([wanted], "a test", NOW, wait_seconds=0.2):
                    lines.write(f"{os.getpid()} has {wanted.decode()}\n")
                    time.sleep(choice.uniform(0, 0.01))
                    lines.write(f"{os.getpid()} ends {wanted.decode()}\n")
            except Busy:
                continue
