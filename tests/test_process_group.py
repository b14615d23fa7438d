"""Programs that are run as a group end as one."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from outcrop.errors import Interrupted
from outcrop.process_group import ending_together, run_group

_TREE = "sleep 60 & echo $! > {0}; echo ready > {0}.ready; wait"
"""A program with a child, which says who that is."""


def child_of(place: Path) -> int:
    while not Path(f"{place}.ready").exists():
        time.sleep(0.01)
    return int(place.read_text())


def require_gone(number: int) -> None:
    deadline = time.monotonic() + 10
    while (place := Path(f"/proc/{number}/status")).exists() and "State:\tZ" not in place.read_text():
        assert time.monotonic() < deadline, "it outlives its group"
        time.sleep(0.01)


def test_what_it_writes_is_text_whatever_it_is() -> None:
    ended = run_group(["sh", "-c", r"cat; printf '\377' >&2; exit 3"], stdin="said")
    assert (ended.returncode, ended.stdout, ended.stderr) == (3, "said", "\N{REPLACEMENT CHARACTER}")


def test_a_child_does_not_outlive_a_program_that_takes_too_long(tmp_path: Path) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        run_group(["sh", "-c", _TREE.format(tmp_path / "child")], seconds=0.5)
    require_gone(child_of(tmp_path / "child"))


def test_a_child_does_not_outlive_an_interruption(tmp_path: Path) -> None:
    def interrupt() -> None:
        child_of(tmp_path / "child")
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        run_group(["sh", "-c", _TREE.format(tmp_path / "child")])
    require_gone(child_of(tmp_path / "child"))


def test_what_threads_run_ends_with_the_main_thread_and_nothing_more_is_begun(tmp_path: Path) -> None:
    futures: list[Future[subprocess.CompletedProcess[str]]] = []

    def interrupted() -> None:
        with ThreadPoolExecutor(1) as pool, ending_together():
            for line in (_TREE.format(tmp_path / "child"), "sleep 60"):
                futures.append(pool.submit(run_group, ["sh", "-c", line]))
            child_of(tmp_path / "child")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    require_gone(child_of(tmp_path / "child"))
    # It was killed, or just begun when all was stopped.
    first = futures[0].exception()
    assert isinstance(first, Interrupted) or futures[0].result().returncode == -signal.SIGKILL
    with pytest.raises(Interrupted):
        futures[1].result()
    assert run_group(["true"]).returncode == 0
    with ending_together():
        assert run_group(["true"]).returncode == 0
