"""Options that mean the same in every command that has them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

_EXAMPLES = "\b\nExamples:\n"
"""How the epilog of a command with examples begins. Without our help page, click prints it as it is."""

_COMMENT = " # "

Command = TypeVar("Command", bound=Callable[..., Any])


def json_option(command: Command) -> Command:
    """`--json`: the answer as one JSON document on standard output."""
    return click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")(command)


def dry_run_option(command: Command) -> Command:
    """`--dry-run`: print the very plan that the run would execute, and change nothing."""
    return click.option("--dry-run", is_flag=True, help="Print the plan and change nothing.")(command)


def examples(*lines: str) -> str:
    """The epilog that shows `lines` as examples, each a command line with an optional `# comment`."""
    return _EXAMPLES + "\n".join(f"  {line}" for line in lines)


def example_lines(command: click.Command) -> tuple[tuple[str, str], ...]:
    """The examples of `command`: each command line, and its comment (with the `#`) or nothing."""
    if not command.epilog or not command.epilog.startswith(_EXAMPLES):
        return ()
    lines = command.epilog.removeprefix(_EXAMPLES).splitlines()
    parts = [line.partition(_COMMENT) for line in lines]
    return tuple((line.strip(), f"# {comment.strip()}" if sign else "") for line, sign, comment in parts)
