"""`outcrop demo ladder`"""

from __future__ import annotations

from collections.abc import Sequence

import click

from outcrop.cli.console import Console
from outcrop.cli.options import dry_run_option, examples, json_option
from outcrop.client.ladder.ways import Way
from outcrop.demo.ladder import Attempt, Shown, plan, show_ladder

_TAKEN, _WORKS, _FAILS, _UNKNOWN = "taken", "works", "-", "?"


@click.command(
    "ladder",
    epilog=examples(
        "outcrop demo ladder",
        "outcrop demo ladder --json > ladder.json",
    ),
)
@dry_run_option
@json_option
@click.pass_obj
def command(console: Console, *, dry_run: bool, as_json: bool) -> None:
    """Run a program of a repository on this machine, then with FUSE forbidden, then with namespaces forbidden too.

    A repository with a Python in it is published and served on this machine alone. Each time `outcrop doctor` says what
    works, `outcrop run` takes the best way, and then every way gets its turn. The table at the end shows all of it.
    What is forbidden is forbidden for these commands only. Nothing is left behind.
    """
    if dry_run:
        for number, title in enumerate(plan(), 1):
            console.result(f"{number}. {title}")
        return
    shown = show_ladder(_ConsoleTeller(console))
    if as_json:
        console.json([_document(one) for one in shown])
        return
    console.result("")
    console.table(("WAY", *(one.machine.title.upper() for one in shown)), [_row(way, shown) for way in Way])
    for one in shown:
        if one.taken is not None:
            console.result(f"{one.machine.title}: `outcrop run` takes {one.taken.value}, {one.taken.description}")


def _row(way: Way, shown: Sequence[Shown]) -> list[str]:
    return [way.value, *(_cell(way, one) for one in shown)]


def _cell(way: Way, one: Shown) -> str:
    if one.taken is None:
        return _UNKNOWN
    if one.taken is way:
        return _TAKEN
    return _WORKS if any(attempt.way is way and attempt.works for attempt in one.attempts) else _FAILS


class _ConsoleTeller:
    """Tells the demonstration on standard error."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._number = 0

    def begin(self, title: str) -> None:
        self._number += 1
        self._console.note(f"\n{self._number}. {title}")

    def command(self, line: str) -> None:
        self._console.note(f"\n   $ {line}")

    def answer(self, text: str) -> None:
        for line in text.splitlines():
            self._console.note(f"   {line}")

    def say(self, text: str) -> None:
        self._console.note(f"   {text}")


def _document(one: Shown) -> dict[str, object]:
    return {
        "machine": one.machine.title,
        "lacks": [lack.value for lack in one.machine.lacks],
        "taken": None if one.taken is None else one.taken.value,
        "output": one.output.splitlines(),
        "impossible": one.impossible or None,
        "ways": [_attempt(attempt) for attempt in one.attempts],
    }


def _attempt(attempt: Attempt) -> dict[str, object]:
    return {"way": attempt.way.value, "works": attempt.works, "reason": attempt.reason or None}
