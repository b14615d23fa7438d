"""A publisher that is killed before any one of its system calls that change something.

Afterwards readers see all of the old revision or all of the new one, the check finds nothing, and the next command goes
on as if nothing had been.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.stratum0.fault.aftermath import Aftermath
from tests.stratum0.fault.calls import Call, Trace, killing, read_trace, recording
from tests.stratum0.fault.commands import CommandServer
from tests.stratum0.fault.sweep import IS_WHOLE, SECONDS, require_all, sample

pytestmark = [pytest.mark.fault, pytest.mark.slow, pytest.mark.timeout(SECONDS)]

SHARES = 8
"""Into how many tests the sweep of the reference publish is cut, which run side by side."""
POINTS = 200
"""How many points of the reference publish are tried at least."""
OTHER_POINTS = 10
"""How many of each other command."""

_TEMPORARY = "/.outcroptxn/"
_CATALOG = re.compile(r'^rename\(.*, ".*/data/[0-9a-f]{2}/[0-9a-f]+C"\)')


@pytest.mark.parametrize("share", range(SHARES))
def test_publish_killed_at_any_call_is_whole_or_not_there(
    share: int, aftermath_of: Callable[[str], Aftermath], watched_server: CommandServer, tmp_path: Path
) -> None:
    aftermath = aftermath_of("publish")
    trace = _trace(aftermath, watched_server, tmp_path)
    assert trace.threads == 1
    assert len(trace.calls) >= 3 * 200, "every file of the reference publish is opened, written and renamed"
    contents = _contents(trace)
    rare = [call for call in trace.calls if call not in contents]
    # What comes once is always tried; of what comes once a file, a sample.
    chosen = rare[share::SHARES]
    chosen += sample(contents[share::SHARES], -(-POINTS // SHARES) - len(chosen), f"publish {share}")
    _kill_at_each(chosen, aftermath, watched_server)


@pytest.mark.parametrize(
    "action", ["tag", "rollback", "gc", "resign", "transaction-publish", "transaction-abort", "create"]
)
def test_command_killed_at_any_call_is_done_or_not(
    action: str, aftermath_of: Callable[[str], Aftermath], watched_server: CommandServer, tmp_path: Path
) -> None:
    aftermath = aftermath_of(action)
    trace = _trace(aftermath, watched_server, tmp_path)
    chosen = sample(trace.calls, OTHER_POINTS, action)
    _kill_at_each(chosen, aftermath, watched_server, is_always_reached=trace.threads == 1)


def _trace(aftermath: Aftermath, server: CommandServer, directory: Path) -> Trace:
    file = directory / "trace"
    ended = server.run(aftermath.begin(), aftermath.action.arguments, watch=recording(file))
    assert ended.code == 0, ended
    return read_trace(file)


def _contents(trace: Trace) -> list[Call]:
    """The calls that store the contents of files: all on temporary files before the first catalog is written."""
    first_catalog = next(position for position, call in enumerate(trace.calls) if _CATALOG.match(call.shown))
    return [call for call in trace.calls[: first_catalog - 2] if _TEMPORARY in call.shown]


def _kill_at_each(
    calls: list[Call], aftermath: Aftermath, server: CommandServer, *, is_always_reached: bool = True
) -> None:
    def look(call: Call, thoroughly: bool) -> None:
        directory = aftermath.begin()
        ended = server.run(directory, aftermath.action.arguments, watch=killing(call))
        assert ended.was_killed or (ended.code == 0 and not is_always_reached), ended
        aftermath.require(directory, thoroughly=thoroughly)

    require_all(calls, look, aftermath.action.name, always_thoroughly=IS_WHOLE)
