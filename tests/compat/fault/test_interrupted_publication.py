"""A publication, promotion or rollback that is killed at one of its calls: users have the old layer or the new one, the
repository is whole, and the same command, given again, leaves nothing of the first.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.compat.fault.layer_scenario import LayerScenario
from tests.compat.layer_publisher import PRODUCTION, TESTS
from tests.stratum0.fault.calls import Call, killing, read_trace, recording
from tests.stratum0.fault.sweep import IS_WHOLE, SECONDS, require_all, sample

pytestmark = [
    pytest.mark.fault,
    pytest.mark.integration,
    pytest.mark.timeout(SECONDS),
    pytest.mark.usefixtures("tracing"),
    pytest.mark.xdist_group("layer-faults"),
]

POINTS = 4
"""How many calls of each command are tried."""


@pytest.mark.parametrize("verb", ["publish", "promote", "rollback"])
def test_a_layer_killed_on_its_way_is_there_or_not(
    scenario: LayerScenario, digest_of_new_layer: Callable[[], str], tmp_path: Path, verb: str
) -> None:
    digest = digest_of_new_layer()
    setting, arguments = {
        "publish": ("published", ("compat", "publish", str(scenario.tree), PRODUCTION)),
        "promote": ("published", ("compat", "promote", TESTS, PRODUCTION, digest)),
        "rollback": ("promoted", ("compat", "rollback", PRODUCTION, "2026.06")),
    }[verb]
    scenario.begin(setting)
    before = scenario.published()
    scenario.run(*arguments, watch=recording(tmp_path / "trace"), on_one_core=True)
    after = scenario.published()
    assert before.entries != after.entries
    trace = read_trace(tmp_path / "trace")

    def look(call: Call, thoroughly: bool) -> None:
        scenario.begin(setting)
        ended = scenario.end(*arguments, watch=killing(call), on_one_core=True)
        assert ended.was_killed or (ended.code == 0 and trace.threads > 1), ended
        found = scenario.published()
        assert found in (before, after), f"neither before nor after: revision {found.revision}"
        if thoroughly:
            scenario.require_whole()
        scenario.run(*arguments)
        # A rollback that was done already is rolled back.
        undone = verb == "rollback" and found == after
        assert scenario.published().entries == (before if undone else after).entries
        assert scenario.leftovers() == []
        if thoroughly:
            scenario.require_whole()

    require_all(sample(trace.calls, POINTS, verb), look, verb, always_thoroughly=not IS_WHOLE)
