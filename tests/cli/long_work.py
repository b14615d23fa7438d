"""A command line of its own, for what no real command does on request: `python -m tests.cli.long_work KIND`."""

from __future__ import annotations

import signal
import sys
import time

import click

from outcrop.cli import app, process
from outcrop.cli.console import Console
from outcrop.cli.registry import CommandPlace
from outcrop.errors import NetworkError

KINDS = ("fail", "fault", "finish", "killed", "many", "wait")


@click.command("work")
@click.argument("kind", type=click.Choice(KINDS))
@click.pass_obj
def command(console: Console, *, kind: str) -> None:
    """Work for a while, and end as KIND says."""
    if kind == "many":
        for number in range(1_000_000):
            console.result(f"line {number}")
        return
    progress = console.progress()
    progress.start("counting", 100, "files")
    progress.advance(40)
    console.note("a note in the middle")
    console.result("an answer in the middle")
    console.flush()
    if kind == "fail":
        raise NetworkError(what="http://server.example.org", problem="cannot be reached")
    if kind == "fault":
        raise ZeroDivisionError("a fault")
    if kind in ("wait", "killed"):
        time.sleep(60)
    progress.advance(60)
    progress.finish()
    console.result("done")


if __name__ == "__main__":
    # Tests that were started by `nohup` ignore this signal, and would pass that on.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    process.prepare()
    place = CommandPlace("tests.cli.long_work", "Work for a while.")
    process.leave(app.run(["work", *sys.argv[1:]], {"Commands": {"work": place}}))
