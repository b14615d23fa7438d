"""`outcrop compat update --publish` that is killed: the repository for tests has the old layer or the new one, a layer
that was built is whole, and the same command, given again, goes on with what is there and leaves nothing of the first.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from outcrop.compat.debian.package_mirror import PARTIAL
from outcrop.compat.layout import RECORDS
from outcrop.compat.record import digests, layer_digest, recorded_digest
from outcrop.errors import InvalidValue
from tests.compat.fault.layer_scenario import LayerScenario, State
from tests.compat.layer_publisher import TESTS
from tests.stratum0.fault.calls import Call, Trace, killing, read_trace, recording
from tests.stratum0.fault.sweep import IS_WHOLE, SECONDS, require_all, sample

pytestmark = [
    pytest.mark.fault,
    pytest.mark.integration,
    pytest.mark.timeout(SECONDS),
    pytest.mark.usefixtures("tracing"),
    pytest.mark.xdist_group("layer-faults"),
]

POINTS = 3
"""How many calls are tried besides those that end a step."""

_ENDS_OF_STEPS = {
    "the lock is written": r'rename\(.*/new\.json"',
    "a package is there": r"rename\(.*/packages/sha256/",
    "the layer has its place": r'rename\(.*"[^"]*/updates/[^"]*/compat/linux/[^"/]*"',
    "the revision is signed": r'rename\(.*/\.cvmfspublished"',
}
"""The calls that end the steps of an update, as strace prints them."""


def ends_of_steps(trace: Trace, names: tuple[str, ...] = tuple(_ENDS_OF_STEPS)) -> list[Call]:
    """The last call of each step; what was to be done by it is not done when it is killed there."""
    found = []
    for name in names:
        calls = [call for call in trace.calls if re.match(_ENDS_OF_STEPS[name], call.shown)]
        assert calls, f"no call by which {name}"
        found.append(calls[-1])
    return found


def require_whole_or_absent(scenario: LayerScenario) -> Path | None:
    """The record of the layer that was built, which is as it was built; None where there is none."""
    tree = scenario.updated()
    if tree is None:
        return None
    assert layer_digest(tree, digests(tree)) == recorded_digest(tree)
    (record,) = (tree / RECORDS).iterdir()
    return record


def digest_in(output: str) -> str:
    (digest,) = re.findall(r"^[0-9a-f]{64}$", output, re.MULTILINE)
    return str(digest)


def test_an_update_killed_anywhere_is_published_or_not_and_goes_on(
    scenario: LayerScenario, digest_of_new_layer: Callable[[], str], tmp_path: Path
) -> None:
    new = digest_of_new_layer()
    lock = str(scenario.arena / "new.json")
    updating = (*scenario.updating, "--lock", lock)
    scenario.begin("outdated")
    before = scenario.published(TESTS).revision
    assert digest_in(scenario.run(*updating, watch=recording(tmp_path / "trace"), on_one_core=True).output) == new
    trace = read_trace(tmp_path / "trace")
    steps = ends_of_steps(trace)
    others = [call for call in trace.calls if call not in steps]

    def look(call: Call, thoroughly: bool) -> None:
        scenario.begin("outdated")
        ended = scenario.end(*updating, watch=killing(call), on_one_core=True)
        assert "Traceback" not in ended.output, ended
        assert ended.code != 0 or trace.threads > 1, ended
        found: State = scenario.published(TESTS)
        assert found.revision in (before, before + 1)
        record = require_whole_or_absent(scenario)
        assert record is not None or found.revision == before
        if thoroughly:
            scenario.require_whole(TESTS)
        again = scenario.run(*updating)
        assert digest_in(again.output) == new
        assert scenario.published(TESTS).revision == before + 1
        if record is not None:
            assert require_whole_or_absent(scenario) == record, "it was built once more"
        # What a killed download has left goes an hour later.
        assert [path for path in scenario.leftovers() if path.parent.name != PARTIAL] == []
        if thoroughly:
            scenario.require_whole(TESTS)

    points = [*steps, *sample(others, POINTS, "update")]
    require_all(points, look, "update", always_thoroughly=not IS_WHOLE)


def test_an_update_killed_while_it_verifies_has_published_nothing_and_is_not_built_again(
    scenario: LayerScenario, digest_of_new_layer: Callable[[], str], tmp_path: Path
) -> None:
    new = digest_of_new_layer()
    scenario.begin("outdated")
    before = scenario.published(TESTS)
    recorded = recording(tmp_path / "trace")
    scenario.run(*scenario.verified_update, watch=recorded, on_one_core=True, code=InvalidValue.exit_code)
    assert scenario.published(TESTS) == before
    calls = read_trace(tmp_path / "trace").calls
    begins = next(call for call in calls if call.name == "mkdir" and "/outcrop-verify-" in call.shown)
    scenario.begin("outdated")
    assert scenario.end(*scenario.verified_update, watch=killing(begins), on_one_core=True).was_killed
    record = require_whole_or_absent(scenario)
    assert record is not None
    assert scenario.published(TESTS) == before
    said = scenario.run(*scenario.updating).output
    assert "was built before" in said
    assert digest_in(said) == new
    assert require_whole_or_absent(scenario) == record
