"""A scenario and what holds after its commands were interrupted, made once for each worker of the tests."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.stratum0.fault.aftermath import Aftermath
from tests.stratum0.fault.calls import reason_against_tracing
from tests.stratum0.fault.commands import CommandServer
from tests.stratum0.fault.injection import compile_library, reason_against_injecting
from tests.stratum0.fault.scenario import Scenario
from tests.stratum0.fault.sweep import place_in_memory


@pytest.fixture(scope="session")
def scenario(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scenario]:
    """The one scenario of this worker, on a file system in memory where there is one."""
    place = place_in_memory() or tmp_path_factory.mktemp("scenario")
    with tempfile.TemporaryDirectory(dir=place, prefix="outcrop-fault-") as top:
        yield Scenario(Path(top))


@pytest.fixture(scope="session")
def server(scenario: Scenario) -> Iterator[CommandServer]:
    """A server for commands that nothing is done to but what signals do."""
    with CommandServer(scenario.temporary) as server:
        yield server


@pytest.fixture(scope="session")
def watched_server(server: CommandServer) -> CommandServer:
    """A server whose commands strace can watch."""
    reason = reason_against_tracing()
    if reason:
        pytest.skip(reason)
    return server


@pytest.fixture(scope="session")
def aftermath_of(scenario: Scenario, server: CommandServer) -> Callable[[str], Aftermath]:
    """What holds after an interruption of the action of that name."""
    actions = {action.name: action for action in (scenario.publish, *scenario.others)}
    return functools.cache(lambda name: Aftermath(scenario, server, actions[name]))


@pytest.fixture(scope="session")
def faulty_server(scenario: Scenario, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandServer]:
    """A server whose commands can be given faults."""
    reason = reason_against_injecting()
    if reason:
        pytest.skip(reason)
    library = compile_library(tmp_path_factory.mktemp("library"))
    with CommandServer(scenario.temporary, preload=library) as server:
        yield server
