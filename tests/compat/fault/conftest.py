"""A tiny layer's machine, made once for each worker of the tests."""

from __future__ import annotations

import functools
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.compat.debian.archive_made_here import MadeKey
from tests.compat.fault.layer_scenario import PROGRAMS, LayerScenario, layer_scenario
from tests.stratum0.fault.calls import reason_against_tracing
from tests.stratum0.fault.commands import CommandServer
from tests.stratum0.fault.sweep import place_in_memory


@pytest.fixture(scope="session")
def scenario(archive_key: MadeKey) -> Iterator[LayerScenario]:
    """The one scenario of this worker."""
    for program in PROGRAMS:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    with (
        pytest.MonkeyPatch.context() as environment,
        tempfile.TemporaryDirectory(dir=place_in_memory(), prefix="outcrop-fault-") as top,
    ):
        for name in ("NO_PROXY", "no_proxy"):
            environment.setenv(name, "127.0.0.1")
        environment.setenv("OUTCROP_CVMFS_ETC", "")
        with CommandServer(Path(top) / "temporary") as server, layer_scenario(Path(top), archive_key, server) as made:
            yield made


@pytest.fixture(scope="session")
def digest_of_new_layer(scenario: LayerScenario) -> Callable[[], str]:
    """Makes the repositories, once, and gives the digest of the layer that is promoted."""
    return functools.cache(scenario.make_repositories)


@pytest.fixture(scope="session")
def tracing() -> None:
    """The test is skipped where strace can watch nobody."""
    reason = reason_against_tracing()
    if reason:
        pytest.skip(reason)
