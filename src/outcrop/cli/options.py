"""Options that mean the same in every command that has them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])


def json_option(command: Command) -> Command:
    """`--json`: the answer as one JSON document on standard output."""
    return click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")(command)


def dry_run_option(command: Command) -> Command:
    """`--dry-run`: print the very plan that the run would execute, and change nothing."""
    return click.option("--dry-run", is_flag=True, help="Print the plan and change nothing.")(command)


def examples(*lines: str) -> str:
    """The epilog that shows `lines` as examples, each a command line with an optional `# comment`."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)
