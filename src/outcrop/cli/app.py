"""Runs one command line: whatever happens, it ends in an answer, or in one sentence, a hint and an exit code."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence

import click
from click.shell_completion import shell_complete

from outcrop import errors
from outcrop.cli.console import Console, closed_output
from outcrop.cli.process import INTERNAL_ERROR_EXIT_CODE, READER_GONE_EXIT_CODE, reader_is_gone, was_interrupted
from outcrop.cli.registry import SECTIONS, Sections
from outcrop.cli.terminal import is_terminal
from outcrop.cli.tree import build_root
from outcrop.cli.usage import usage_error

PROGRAM = "outcrop"

COMPLETION_VARIABLE = "_OUTCROP_COMPLETE"
"""How a shell asks for completions; `outcrop completion` prints scripts that set it."""

TRACEBACK_VARIABLE = "OUTCROP_TRACEBACK"


def run(arguments: Sequence[str], sections: Sections = SECTIONS) -> int:
    """Run one command line of the commands in `sections`; the exit code says how it ended (`outcrop.errors`)."""
    instruction = os.environ.get(COMPLETION_VARIABLE)
    if instruction:
        return _complete(instruction, sections)
    console = Console()
    if sys.stdout is None:
        return console.error(closed_output())
    try:
        code = _invoke(arguments, sections, console)
        console.flush()
        return code
    except BaseException as error:
        console.close()
        if os.environ.get(TRACEBACK_VARIABLE):
            traceback.print_exception(error)
        return tell(error, console)
    finally:
        console.close()


def _invoke(arguments: Sequence[str], sections: Sections, console: Console) -> int:
    root = build_root(sections)
    try:
        with root.make_context(PROGRAM, list(arguments), obj=console) as context:
            outcome = root.invoke(context)
    except click.exceptions.Exit as request:
        return request.exit_code
    return outcome if isinstance(outcome, int) else 0


def tell(error: BaseException, console: Console) -> int:
    """Tell `error`; the exit code that belongs to it."""
    match error:
        case errors.OutcropError():
            return console.error(error)
        case click.exceptions.NoArgsIsHelpError():
            return _missing_command(error, console)
        case click.ClickException():
            return console.error(usage_error(error))
        case KeyboardInterrupt() | click.Abort():
            return _interrupted(console)
        case Exception() if was_interrupted():
            return _interrupted(console)
        case BrokenPipeError() if reader_is_gone():
            return READER_GONE_EXIT_CODE
        case OSError():
            return console.error(errors.storage_error(error))
        case Exception():
            console.internal_error(error)
            return INTERNAL_ERROR_EXIT_CODE
        case _:
            raise error


def _interrupted(console: Console) -> int:
    if is_terminal(sys.stderr):
        console.note("")  # what follows does not stand behind the terminal's ^C
    return console.error(errors.Interrupted())


def _missing_command(error: click.exceptions.NoArgsIsHelpError, console: Console) -> int:
    """A noun without a verb: its page, which is the hint."""
    console.error_page(error.ctx.get_help())
    return errors.UsageError.exit_code


def _complete(instruction: str, sections: Sections) -> int:
    """Answer a shell. Nothing may reach the prompt that is being typed at, so a fault is only an exit code."""
    from outcrop.cli import completion  # noqa: F401  (registers our script for fish)

    try:
        return shell_complete(build_root(sections), {"obj": Console()}, PROGRAM, COMPLETION_VARIABLE, instruction)
    except Exception:
        if os.environ.get(TRACEBACK_VARIABLE):
            raise
        return INTERNAL_ERROR_EXIT_CODE
