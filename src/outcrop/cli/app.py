"""The tree of commands. A command's module is imported only when that command runs or is asked for help."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType

import click

from outcrop import errors
from outcrop.cli.console import Console
from outcrop.cli.entry import INTERNAL_ERROR_EXIT_CODE, VERSION_LINE
from outcrop.cli.registry import COMMANDS, CommandPlace, NounPlace


class LazyGroup(click.Group):
    """A group whose commands are known by name and one-line help, and imported on use."""

    def __init__(self, *, places: dict[str, CommandPlace | NounPlace], **settings: object) -> None:
        super().__init__(**settings)  # type: ignore[arg-type]
        self.places = places

    def list_commands(self, context: click.Context) -> list[str]:
        return sorted(self.places)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        place = self.places.get(name)
        if place is None:
            return None
        if isinstance(place, NounPlace):
            return LazyGroup(name=name, help=place.summary, places=dict(place.verbs), no_args_is_help=True)
        module = importlib.import_module(place.module)
        command = module.command
        assert isinstance(command, click.Command), place.module
        return command

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [(name, self.places[name].summary) for name in self.list_commands(context)]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def build_root() -> LazyGroup:
    """The whole command line, as click sees it."""
    root = LazyGroup(
        name="outcrop",
        places=dict(COMMANDS),
        help="Run or use a shared stack of scientific software: build it, sign it, stream it, load it.",
        no_args_is_help=True,
        context_settings={
            "help_option_names": ["-h", "--help"],
            "auto_envvar_prefix": "OUTCROP",
            "max_content_width": 100,
        },
    )
    root.params.append(
        click.Option(
            ["--version"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            help="Show the version and exit.",
            callback=_print_version,
        )
    )
    root.params.append(
        click.Option(["-q", "--quiet"], is_flag=True, expose_value=False, callback=_set_quiet, help="Say only errors.")
    )
    return root


def _print_version(context: click.Context, _option: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        click.echo(VERSION_LINE)
        context.exit()


def _set_quiet(context: click.Context, _option: click.Parameter, quiet: bool) -> None:
    context.ensure_object(Console).quiet = quiet


def run(arguments: Sequence[str]) -> int:
    """Run one command line; the exit code says how it ended (`outcrop.errors`)."""
    signal.signal(signal.SIGTERM, _terminate)
    console = Console()
    try:
        outcome = build_root().main(args=list(arguments), prog_name="outcrop", standalone_mode=False, obj=console)
    except click.exceptions.Exit as exit_request:
        return exit_request.exit_code
    except click.UsageError as error:
        hint = f"`{error.ctx.command_path} --help` shows what it takes" if error.ctx else "`outcrop --help`"
        return console.error(errors.UsageError(problem=error.format_message(), hint=hint))
    except click.ClickException as error:
        return console.error(errors.UsageError(problem=error.format_message()))
    except (click.Abort, KeyboardInterrupt):
        return console.error(errors.Interrupted())
    except errors.OutcropError as error:
        return console.error(error)
    except BrokenPipeError:
        # The reader of our output has gone (`| head`): nothing more to say, and nothing to flush at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        return console.error(errors.storage_error(error))
    except Exception as error:
        if os.environ.get("OUTCROP_TRACEBACK"):
            raise
        console.internal_error(error)
        return INTERNAL_ERROR_EXIT_CODE
    return outcome if isinstance(outcome, int) else 0


def _terminate(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
