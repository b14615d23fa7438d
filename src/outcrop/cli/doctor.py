"""`outcrop doctor`"""

from __future__ import annotations

from collections.abc import Sequence

import click

from outcrop.cli.console import Console
from outcrop.cli.options import examples, json_option
from outcrop.cli.reading import Reading, reading_options_with
from outcrop.client.address import RepositoryAddress
from outcrop.client.ladder.assessment import RankedWay, assess
from outcrop.client.ladder.findings import Finding, Topic
from outcrop.client.ladder.look import look
from outcrop.client.ladder.request import CUSTOMARY_PLACE
from outcrop.errors import MissingCapability, NetworkError

_WORKS, _FAILS = "works", "no"


@click.command(
    "doctor",
    epilog=examples(
        "outcrop doctor                                    # which ways of reading work on this machine?",
        "outcrop doctor software.example.org               # and is this repository within reach?",
        "srun -N1 outcrop doctor --json > node.json        # the same of a compute node",
    ),
)
@reading_options_with(required=False)
@json_option
@click.pass_obj
def command(console: Console, *, reading: Reading, as_json: bool) -> None:
    """Look at this machine and say which ways of showing a repository work here, best first, and why not the others.

    Everything is found out by trying it, in processes that leave nothing behind. `outcrop run` takes the first way that
    works.

    The exit code is 0 if there is one, 9 if there is none, and 6 if no server has REPO.
    """
    address = reading.address(console) if reading.repository else None
    name = address.name if address else ""
    findings = look(CUSTOMARY_PLACE, reading.settings(), name, address, console.progress())
    ways = assess(findings)
    if as_json:
        console.json(_document(name, findings, ways))
    else:
        _tell(console, findings, ways)
    console.flush()
    _judge(findings, ways, address)


def _judge(findings: Sequence[Finding], ways: Sequence[RankedWay], address: RepositoryAddress | None) -> None:
    """Raises what the exit code has to say."""
    if not any(way.works for way in ways):
        raise MissingCapability(
            what="every way of showing a repository",
            problem="each needs something that this machine does not have",
            hint="`outcrop doctor` names it; `outcrop ls` and `outcrop cat` read without any of it",
        )
    unreachable = next((each for each in findings if each.topic is Topic.SERVERS and not each.works), None)
    if unreachable is not None and address is not None:
        raise NetworkError(
            what=f"the repository {address.name}", problem=f"is out of reach ({unreachable.sentence})",
            hint=unreachable.hint,
        )  # fmt: skip


def _tell(console: Console, findings: Sequence[Finding], ways: Sequence[RankedWay]) -> None:
    console.table(
        ("TOPIC", "STATE", "FINDING"), [(each.topic.value, each.state.value, each.sentence) for each in findings]
    )
    console.result("")
    rows = []
    for ranked in ways:
        remark = ranked.way.description if ranked.obstacle is None else ranked.obstacle.reason
        rows.append((ranked.way.value, _WORKS if ranked.works else _FAILS, remark))
    console.table(("WAY", "STATE", "HOW, OR WHY NOT"), rows)
    for hint in dict.fromkeys(each.hint for each in findings if each.hint and not each.works):
        console.note(f"hint: {hint}")


def _document(name: str, findings: Sequence[Finding], ways: Sequence[RankedWay]) -> dict[str, object]:
    return {
        "repository": name or None,
        "best": next((ranked.way.value for ranked in ways if ranked.works), None),
        "ways": [
            {
                "way": ranked.way.value,
                "works": ranked.works,
                "description": ranked.way.description,
                "reason": ranked.obstacle.reason if ranked.obstacle else None,
                "hint": ranked.obstacle.hint if ranked.obstacle else None,
            }
            for ranked in ways
        ],
        "findings": [
            {"topic": each.topic.value, "state": each.state.value, "finding": each.sentence, "hint": each.hint}
            for each in findings
        ],
    }
