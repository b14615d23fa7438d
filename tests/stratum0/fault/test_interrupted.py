"""A publisher that is ended at some moment, by a kill or by Ctrl-C, with all its threads at work."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections.abc import Callable

import pytest

from outcrop.errors import Interrupted
from tests.stratum0.fault.aftermath import Aftermath
from tests.stratum0.fault.commands import CommandServer, Watch
from tests.stratum0.fault.sweep import IS_WHOLE, SECONDS, SEED, require_all

pytestmark = [pytest.mark.fault, pytest.mark.slow, pytest.mark.timeout(SECONDS)]

ROUNDS = 200 if IS_WHOLE else 10


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM], ids=["kill", "ctrl-c", "term"])
def test_publish_ended_at_any_moment_is_whole_or_not_there(
    number: signal.Signals, aftermath_of: Callable[[str], Aftermath], server: CommandServer
) -> None:
    aftermath = aftermath_of("publish")
    arguments = aftermath.action.arguments
    began = time.monotonic()
    assert server.run(aftermath.begin(), arguments, on_one_core=False).code == 0
    took = time.monotonic() - began
    moments = random.Random(f"{SEED} {number}")
    allowed = {0, -number, Interrupted.exit_code} if number != signal.SIGKILL else {0, -number}

    def look(moment: float, thoroughly: bool) -> None:
        directory = aftermath.begin()
        ended = server.run(directory, arguments, on_one_core=False, watch=_ending(moment, number))
        assert ended.code in allowed, ended
        assert "Traceback" not in ended.output, ended
        aftermath.require(directory, thoroughly=thoroughly, is_done=ended.code == 0)

    require_all([moments.uniform(0, took) for _ in range(ROUNDS)], look, f"seconds until {number.name}")


def _ending(moment: float, number: signal.Signals) -> Watch:
    """Sends the signal of that number to the process after so many seconds."""

    def start(process: int) -> subprocess.Popen[bytes]:
        # The process is stopped still: it and the clock start at the same moment.
        command = f"sleep {moment:.4f}; kill -s {number.name.removeprefix('SIG')} {process}"
        return subprocess.Popen(["sh", "-c", command], stderr=subprocess.DEVNULL, start_new_session=True)

    return start
