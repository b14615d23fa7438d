"""The tree of commands. A command's module is imported only when that command runs or is asked for help.

Commands are written as plain click commands. Here they get what all of them have: our help page, a `-q` of their own,
a variable for each option, completion of repository names.
"""

from __future__ import annotations

import copy
import difflib
import importlib
from collections.abc import Sequence

import click
from click.shell_completion import CompletionItem

from outcrop import errors
from outcrop.cli.console import Console
from outcrop.cli.entry import VERSION_LINE
from outcrop.cli.help_page import WIDEST_PAGE, PoliteCommand
from outcrop.cli.registry import SECTIONS, NounPlace, Sections
from outcrop.cli.repository_names import REPOSITORY_TYPES
from outcrop.cli.variables import option_name, variables

ROOT_HELP = "Run or use a shared stack of scientific software: build it, sign it, stream it, load it."

_SIMILARITY = 0.6
"""How alike a mistyped name and a real one must be, of 1: `difflib`'s own default."""


class LazyGroup(PoliteCommand, click.Group):
    """A group whose commands are known by name and one-line help, and imported on use."""

    def __init__(
        self,
        path: Sequence[str],
        sections: Sections,
        summary: str,
        params: Sequence[click.Parameter] = (),
    ) -> None:
        super().__init__(
            name=path[-1] if path else "outcrop",
            help=summary,
            params=list(params),
            no_args_is_help=True,
            subcommand_metavar="COMMAND …",
        )
        self.path = tuple(path)
        self.sections = sections
        self.places = {name: place for section in sections.values() for name, place in section.items()}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(self.places)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        place = self.places.get(cmd_name)
        if place is None:
            return None
        path = (*self.path, *cmd_name.split())
        if isinstance(place, NounPlace):
            return LazyGroup(path, {"Commands": place.verbs}, place.summary, [_quiet_option()])
        module = importlib.import_module(place.module)
        command = module.command
        assert isinstance(command, click.Command), place.module
        return dressed(command, path)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        two_words = " ".join(args[:2])
        if len(args) > 1 and two_words in self.places:
            return two_words, self.get_command(ctx, two_words), args[2:]
        name = args[0]
        if name not in self.places and not ctx.resilient_parsing and not name.startswith("-"):
            raise self._unknown(name, ctx)
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        # click would import every command to ask for its summary. A shell completes one word at a time.
        found = [
            CompletionItem(name, help=place.summary)
            for name, place in sorted(self.places.items())
            if name.startswith(incomplete) and " " not in name
        ]
        return [*found, *PoliteCommand.shell_complete(self, ctx, incomplete)] if incomplete.startswith("-") else found

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for heading, places in self.sections.items():
            with formatter.section(heading):
                widest = max(map(len, self.places))
                formatter.write_dl([(name.ljust(widest), place.summary) for name, place in places.items()])
        super().format_options(ctx, formatter)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Nothing: the sections have them all."""

    def _unknown(self, name: str, context: click.Context) -> errors.UsageError:
        known = {" ".join((*self.path, each)): each for each in self.places}
        if not self.path:
            known |= {
                f"{noun} {verb}": verb
                for noun, place in self.places.items()
                if isinstance(place, NounPlace)
                for verb in place.verbs
            }
        near = difflib.get_close_matches(name, known.values(), cutoff=_SIMILARITY)
        meant = [path for each in near for path, last in known.items() if last == each]
        return errors.UsageError(
            problem=f"there is no command `{context.command_path} {name}`",
            hint=f"did you mean {' or '.join(f'`outcrop {path}`' for path in dict.fromkeys(meant))}?"
            if meant
            else f"`{context.command_path} --help` lists the commands",
        )


def build_root(sections: Sections = SECTIONS) -> LazyGroup:
    """The whole command line, as click sees it."""
    version = click.Option(
        ["--version"],
        is_flag=True,
        is_eager=True,
        expose_value=False,
        help="Show the version.",
        callback=_show_version,
    )
    quiet = _quiet_option()
    quiet.envvar = variables((), quiet)
    root = LazyGroup((), sections, ROOT_HELP, [quiet, version])
    root.context_settings = {"help_option_names": ["-h", "--help"], "max_content_width": WIDEST_PAGE}
    return root


def dressed(command: click.Command, path: Sequence[str]) -> PoliteCommand:
    """The plain `command` with what every command at a `path` of the tree has. `command` itself stays as it is."""
    params = [_dressed_parameter(param, path) for param in command.params]
    taken = {spelling for param in params for spelling in param.opts}
    if not taken & {"-q", "--quiet"}:
        params.append(_quiet_option())
    return PoliteCommand(
        name=path[-1],
        callback=command.callback,
        params=params,
        help=command.help,
        epilog=command.epilog,
        context_settings=command.context_settings,
        no_args_is_help=command.no_args_is_help,
        hidden=command.hidden,
        deprecated=command.deprecated,
    )


def _dressed_parameter(param: click.Parameter, path: Sequence[str]) -> click.Parameter:
    param = copy.copy(param)
    label = (param.metavar or param.name or "").strip("[].").upper()
    if label in REPOSITORY_TYPES and isinstance(param.type, click.types.StringParamType):
        param.type = REPOSITORY_TYPES[label]
    if isinstance(param, click.Option):
        param.envvar = variables(path, param)
        if param.metavar is None and not param.is_flag and isinstance(param.type, click.types.IntParamType):
            long = any(spelling.startswith("--") for spelling in param.opts)
            param.metavar = "N" if long else option_name(param).upper()
    return param


def _quiet_option() -> click.Option:
    return click.Option(
        ["-q", "--quiet"], is_flag=True, expose_value=False, callback=_set_quiet, help="Say only the answer and errors."
    )


def _set_quiet(context: click.Context, _option: click.Parameter, quiet: bool) -> None:
    if quiet:
        context.ensure_object(Console).quiet = True


def _show_version(context: click.Context, _option: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        context.ensure_object(Console).result(VERSION_LINE)
        context.exit()
