"""`outcrop doctor`."""

from __future__ import annotations

import json

import pytest

from outcrop.cli.app import run
from outcrop.client.ladder.findings import Topic
from outcrop.client.ladder.ways import Way

pytestmark = pytest.mark.integration


def test_the_answer_has_every_way_and_every_topic(capfd: pytest.CaptureFixture[str]) -> None:
    code = run(["doctor", "--json"])
    answer = json.loads(capfd.readouterr().out)
    assert [each["way"] for each in answer["ways"]] == [way.value for way in Way]
    assert {each["topic"] for each in answer["findings"]} == {topic.value for topic in Topic} - {"servers"}
    assert code == (9 if answer["best"] is None else 0)
    assert all(each["works"] or each["reason"] for each in answer["ways"])


def test_the_table_has_findings_then_ways(capfd: pytest.CaptureFixture[str]) -> None:
    run(["doctor"])
    findings, _, ways = capfd.readouterr().out.partition("\n\n")
    assert findings.startswith("kernel")
    assert [line.split()[0] for line in ways.splitlines()] == [way.value for way in Way]
