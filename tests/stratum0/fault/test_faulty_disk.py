"""A disk that is full, reports errors, takes less than it is given, or has no descriptor left, at any one call.

The command says in one sentence what the disk did to which file, and what to do. Nothing is published that refers to a
missing or wrong object, and the same command works once the disk does.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from outcrop.errors import StorageError
from tests.stratum0.fault.aftermath import Aftermath
from tests.stratum0.fault.commands import CommandServer, Ended
from tests.stratum0.fault.injection import FAULTS, Fault
from tests.stratum0.fault.scenario import NAME, Scenario
from tests.stratum0.fault.sweep import SECONDS, require_all, sample

pytestmark = [pytest.mark.fault, pytest.mark.slow, pytest.mark.timeout(SECONDS)]

PUBLISH_POINTS, OTHER_POINTS = 12, 1
"""How many calls are tried of each fault, in the reference publish and in each other command."""

OTHERS = ("tag", "rollback", "gc", "resign", "transaction-publish", "transaction-abort", "create")
_EVERY_FAULT = pytest.mark.parametrize("fault", [pytest.param(fault, id=fault.name) for fault in FAULTS])
_TOLD = re.compile(r"^error: (?P<sentence>[^\n]+)\n\nhint: [^\n]+$", re.MULTILINE)

_STAGED_ENTRIES = 30_000
"""More than the staging area keeps in memory."""
_STAGED_WRITES = 100
"""So many pages it writes at least."""
_FEWEST_FILES = 4
"""Standard input, standard output, standard error, and the file that this limit is about."""


@_EVERY_FAULT
def test_publish_on_a_faulty_disk_says_so_and_publishes_nothing_wrong(
    fault: Fault, aftermath_of: Callable[[str], Aftermath], faulty_server: CommandServer, scenario: Scenario
) -> None:
    _fail_at_each(fault, PUBLISH_POINTS, aftermath_of("publish"), faulty_server, scenario)


@_EVERY_FAULT
def test_other_commands_on_a_faulty_disk_say_so_and_do_nothing_wrong(
    fault: Fault, aftermath_of: Callable[[str], Aftermath], faulty_server: CommandServer, scenario: Scenario
) -> None:
    for action in OTHERS:
        _fail_at_each(fault, OTHER_POINTS, aftermath_of(action), faulty_server, scenario)


def test_too_low_a_limit_of_open_files_is_named(
    aftermath_of: Callable[[str], Aftermath], server: CommandServer, scenario: Scenario
) -> None:
    aftermath = aftermath_of("publish")
    for limit in range(_FEWEST_FILES, 256):
        directory = aftermath.begin()
        ended = server.run(directory, aftermath.action.arguments, open_files=limit)
        if ended.code == 0:
            break
        _require_told(ended, scenario)
        aftermath.require(directory, thoroughly=False)
    assert ended.code == 0, ended
    assert limit > _FEWEST_FILES, "no limit was too low"


def test_disk_that_is_full_while_entries_wait_is_named(
    faulty_server: CommandServer, scenario: Scenario, tmp_path: Path
) -> None:
    archive = tmp_path / "many.tar"
    with tarfile.open(archive, "w") as tar:
        for number in range(_STAGED_ENTRIES):
            member = tarfile.TarInfo(f"directory {number // 500}/a link with quite a long name {number}")
            member.type, member.linkname = tarfile.SYMTYPE, "a target that takes some room, too"
            tar.addfile(member)
    arguments = ("repo", "ingest", NAME, str(archive), "--at", "/many", "--dry-run")
    fault = Fault("full", FAULTS[0].error, "wct")
    directory = scenario.begin("repository")
    temporary = scenario.temporary
    calls = faulty_server.run(directory, arguments, fault=fault.nowhere(temporary)).met
    assert calls > _STAGED_WRITES, "hardly anything was written to a temporary file"
    for nth in (1, 2, _STAGED_WRITES):
        ended = faulty_server.run(directory, arguments, fault=fault.at(nth, temporary))
        assert ended.code == StorageError.exit_code, ended
        assert "temporary file" in ended.output
        assert _TOLD.search(ended.output), ended


def _fail_at_each(fault: Fault, number: int, aftermath: Aftermath, server: CommandServer, scenario: Scenario) -> None:
    """Runs the action with the fault at each of its calls, or at `number` of them in a sample."""
    arguments = aftermath.action.arguments
    counted = server.run(aftermath.begin(), arguments, fault=fault.nowhere(scenario.top))
    assert counted.code == 0, counted

    def look(nth: int, thoroughly: bool) -> None:
        directory = aftermath.begin()
        ended = server.run(directory, arguments, fault=fault.at(nth, scenario.top))
        if ended.code != 0:
            assert fault.error, "a write that took less than it was given is gone on with"
            _require_told(ended, scenario)
        aftermath.require(directory, thoroughly=thoroughly, is_done=ended.code == 0)

    what = f"{aftermath.action.name} {fault.name}"
    require_all(sample(range(1, counted.met + 1), number, what), look, what)


def _require_told(ended: Ended, scenario: Scenario) -> None:
    """Fails unless the command told what happened to which file."""
    assert ended.code == StorageError.exit_code, ended
    assert "Traceback" not in ended.output, ended
    told = _TOLD.search(ended.output)
    assert told, ended
    assert str(scenario.top) in told["sentence"], f"names no file: {ended}"
