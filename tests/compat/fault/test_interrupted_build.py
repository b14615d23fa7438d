"""A build that is ended at some moment: the layer that was there, or the new one, is whole, and the next build goes on.

Ctrl-C reaches every process that the build has started, as a terminal's does.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from outcrop.compat.record import digests, layer_digest, recorded_digest
from outcrop.errors import CommandFailed, Interrupted, InvalidValue
from tests.compat.fault.layer_scenario import LayerScenario
from tests.faulty_server import Request
from tests.stratum0.fault.calls import Call, killing, read_trace, recording
from tests.stratum0.fault.commands import ROOT
from tests.stratum0.fault.sweep import IS_WHOLE, SECONDS, SEED, require_all

pytestmark = [
    pytest.mark.fault,
    pytest.mark.integration,
    pytest.mark.timeout(SECONDS),
    pytest.mark.xdist_group("layer-faults"),
]

ROUNDS = 60 if IS_WHOLE else 3
_PATIENCE = 20
"""Seconds until a build that was told to end has ended."""


def begun(scenario: LayerScenario) -> subprocess.Popen[str]:
    """A build that has come as far as asking its archive."""
    scenario.site.requests.clear()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("OUTCROP_", "XDG_"))},
        "PYTHONPATH": str(ROOT / "src"),
        "HOME": str(scenario.arena),
        "NO_COLOR": "1",
        "PYTHONFAULTHANDLER": "1",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "outcrop", *scenario.building],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while not scenario.site.requests and process.poll() is None:
        time.sleep(0.002)
    return process


def session_of(process: subprocess.Popen[str]) -> list[int]:
    """What runs of all that `process` has started."""
    found = []
    for directory in Path("/proc").iterdir():
        try:
            is_its = directory.name.isdecimal() and os.getsid(int(directory.name)) == process.pid
            if is_its and "\nState:\tZ" not in (directory / "status").read_text():
                found.append(int(directory.name))
        except OSError:
            continue  # it ended meanwhile
    return found


def ended(process: subprocess.Popen[str]) -> str:
    """What the build said, once it and all that it started have ended."""
    try:
        _, said = process.communicate(timeout=_PATIENCE)
    except subprocess.TimeoutExpired as error:
        os.kill(process.pid, signal.SIGABRT)  # Python tells where it hangs
        time.sleep(1)
        os.killpg(process.pid, signal.SIGKILL)
        _, said = process.communicate()
        raise AssertionError(f"it does not end: {said}; there are {told(session_of(process))}") from error
    deadline = time.monotonic() + _PATIENCE
    while left := session_of(process):
        assert time.monotonic() < deadline, f"outlives the build, which said {said!r}: {told(left)}"
        time.sleep(0.01)
    return said


def told(processes: list[int]) -> str:
    """What they are, for whoever looks for the reason."""
    return "; ".join(
        f"{number}: {name}, waits in {Path(f'/proc/{number}/wchan').read_text()}"
        for number in processes
        for name in [Path(f"/proc/{number}/cmdline").read_bytes().replace(b"\0", b" ").decode()]
    )


@pytest.fixture(scope="module")
def seconds(scenario: LayerScenario) -> float:
    """How long a build takes from its first question to its archive."""
    scenario.begin("layer")
    scenario.serve()
    process = begun(scenario)
    began = time.monotonic()
    said = ended(process)
    assert process.returncode == 0, said
    return time.monotonic() - began


def require_a_layer(scenario: LayerScenario, *expected: str) -> str:
    """The digest of the layer that is in place, which is whole and one of the `expected`."""
    assert scenario.tree.is_dir(), "there is no layer"
    digest = layer_digest(scenario.tree, digests(scenario.tree))
    assert digest == recorded_digest(scenario.tree)
    assert not expected or digest in expected
    return digest


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=["kill", "term", "ctrl-c"])
def test_a_build_ended_at_any_moment_leaves_a_whole_layer_and_can_go_on(
    scenario: LayerScenario, seconds: float, number: signal.Signals
) -> None:
    scenario.begin("layer")
    scenario.run(*scenario.building)
    new = require_a_layer(scenario)
    moments = random.Random(f"{SEED} build {number}")

    def look(moment: float, thoroughly: bool) -> None:
        scenario.begin("layer")
        old = require_a_layer(scenario)
        process = begun(scenario)
        time.sleep(moment)
        if process.poll() is None:
            (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
        said = ended(process)
        assert process.returncode in {0, -number} | ({Interrupted.exit_code} - {number}), said
        assert "Traceback" not in said, said
        require_a_layer(scenario, *((new,) if process.returncode == 0 else (old, new)))
        if thoroughly:
            scenario.run(*scenario.building)
            require_a_layer(scenario, new)
            left = [path for path in scenario.leftovers() if path.parent.name != ".partial"]
            assert left == [], "the next build clears up"

    require_all([moments.uniform(0, seconds) for _ in range(ROUNDS)], look, f"seconds until {number.name}")


@pytest.mark.usefixtures("tracing")
def test_a_build_killed_as_its_layer_takes_its_place_leaves_the_old_one(scenario: LayerScenario) -> None:
    scenario.begin("layer")
    scenario.serve()
    old = require_a_layer(scenario)
    exchange = killing(Call("renameat2", 1, "the exchange of both layers"))
    assert scenario.run(*scenario.building, code=-signal.SIGKILL, watch=exchange).was_killed
    require_a_layer(scenario, old)
    assert scenario.leftovers() != []
    scenario.run(*scenario.building)
    require_a_layer(scenario)
    assert scenario.leftovers() == []


@pytest.mark.usefixtures("tracing")
def test_where_names_cannot_be_exchanged_the_old_layer_of_a_killed_build_is_put_back(
    scenario: LayerScenario, tmp_path: Path
) -> None:
    scenario.begin("layer")
    scenario.serve()
    old = require_a_layer(scenario)
    lacking = "renameat2"
    scenario.run(*scenario.building, watch=recording(tmp_path / "trace", lacking), on_one_core=True)
    new = require_a_layer(scenario)
    assert new != old
    assert scenario.leftovers() == []
    names = [call for call in read_trace(tmp_path / "trace").calls if call.name == "rename"]
    aside, arrival = (call for call in names if f'"{scenario.tree}"' in call.shown)

    # Killed before the first of the two, nothing has happened; between them, the place is empty.
    for call, is_there in ((aside, True), (arrival, False)):
        scenario.begin("layer")
        assert scenario.end(*scenario.building, watch=killing(call, lacking), on_one_core=True).was_killed
        assert scenario.tree.exists() is is_there
        # Even a command that builds nothing puts the old layer back.
        said = scenario.run(*scenario.building, "--with", "nothing", code=InvalidValue.exit_code).output
        assert ("is the old layer again" in said) is not is_there
        require_a_layer(scenario, old)
        scenario.run(*scenario.building)
        require_a_layer(scenario, new)
        assert scenario.leftovers() == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["term", "ctrl-c"])
def test_a_build_does_not_wait_for_a_server_that_stalls(scenario: LayerScenario, number: signal.Signals) -> None:
    scenario.begin("nothing")
    scenario.serve()
    name = next(name for name in scenario.site.files if "libthing1" in name)
    scenario.site.faults[name] = stalls
    process = begun(scenario)
    while name not in scenario.site.requests and process.poll() is None:
        time.sleep(0.01)
    began = time.monotonic()
    os.kill(process.pid, number)
    said = ended(process)
    assert time.monotonic() - began < _STALL / 2
    assert (process.returncode, scenario.tree.exists(), scenario.leftovers()) == (Interrupted.exit_code, False, []), (
        said
    )
    assert "stopped" in said
    assert "hint: " in said


_STALL = 10
"""Seconds."""


def stalls(request: Request) -> None:
    """Begins an answer and takes its time with the rest."""
    request.answer(b"a beginning", length=1_000_000)
    time.sleep(_STALL)


@pytest.mark.usefixtures("tracing")
def test_a_process_of_the_build_that_is_killed_is_told(scenario: LayerScenario) -> None:
    scenario.begin("layer")
    scenario.serve(old=True)
    old = require_a_layer(scenario)
    # Nothing has to be fetched, so the first file that takes another's name is one that was relocated.
    relocated = killing(Call("rename", 1, "a relocated file takes its name"))
    said = scenario.run(*scenario.building, code=CommandFailed.exit_code, watch=relocated).output
    assert "a process that relocates files failed: it was killed" in said
    assert "hint: " in said
    require_a_layer(scenario, old)
    assert scenario.leftovers() == []
