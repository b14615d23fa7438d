"""What is known of every command, as plain data: the source of the reference and of the manual pages.

`python -m outcrop.cli.reference` writes what is generated in the tree; `--markdown DIRECTORY` and `--man DIRECTORY`
write one of the two elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from outcrop import errors
from outcrop.cli.app import PROGRAM
from outcrop.cli.help_page import Context, description, shown_default
from outcrop.cli.options import example_lines
from outcrop.cli.process import INTERNAL_ERROR_EXIT_CODE, READER_GONE_EXIT_CODE
from outcrop.cli.tree import LazyGroup, build_root

COMMANDS_PAGE = "commands.md"
EXIT_CODES_PAGE = "exit-codes.md"


@dataclass(frozen=True, slots=True)
class OptionEntry:
    """An option: how it is written, what it does, what holds without it, the variables that stand for it."""

    spelling: str
    help: str
    default: str
    variables: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Example:
    """A command line to try, and what it shows."""

    line: str
    comment: str


@dataclass(frozen=True, slots=True)
class CommandEntry:
    """A command or a noun. `parts` are the commands below it, by name and one-line help."""

    path: tuple[str, ...]
    summary: str
    usage: str
    description: tuple[str, ...]
    options: tuple[OptionEntry, ...]
    examples: tuple[Example, ...]
    parts: tuple[tuple[str, str], ...]

    @property
    def name(self) -> str:
        """The command as it is typed, as in `outcrop repo log`."""
        return " ".join(self.path)

    @property
    def page(self) -> str:
        """The name of its manual page, as in `outcrop-repo-log`."""
        return "-".join(self.path)


@dataclass(frozen=True, slots=True)
class ExitCode:
    """An exit code, the error classes that have it, and what it means."""

    code: int
    classes: tuple[str, ...]
    meaning: str


def command_entries() -> list[CommandEntry]:
    """Every command: the whole first, then what is below it in the order of the help pages."""
    root = build_root()
    context = root.context_class(root, info_name=PROGRAM, **root.context_settings)
    return list(_walk(root, context, root.help or ""))


def exit_codes() -> list[ExitCode]:
    """Every exit code in use, in order, as `outcrop.errors` defines them."""
    classes = [value for value in vars(errors).values() if isinstance(value, type)]
    kinds = [kind for kind in classes if issubclass(kind, errors.OutcropError)]
    ours = {
        0: ExitCode(0, (), "done"),
        1: ExitCode(1, (), "something that the user can mend: a value, a name, a path"),
        INTERNAL_ERROR_EXIT_CODE: ExitCode(INTERNAL_ERROR_EXIT_CODE, (), "a fault in Outcrop itself: please report it"),
        READER_GONE_EXIT_CODE: ExitCode(
            READER_GONE_EXIT_CODE, (), "whoever read the answer stopped reading, as in `outcrop find … | head`"
        ),
    }
    for kind in kinds:
        known = ours.get(kind.exit_code) or ExitCode(kind.exit_code, (), _first_line(kind))
        ours[kind.exit_code] = ExitCode(known.code, (*known.classes, kind.__name__), known.meaning)
    return [ours[code] for code in sorted(ours)]


def write_markdown(directory: Path) -> None:
    """Write the pages of the reference that are generated."""
    from outcrop.cli.reference_markdown import commands_page, exit_codes_page

    directory.mkdir(parents=True, exist_ok=True)
    (directory / COMMANDS_PAGE).write_text(commands_page(command_entries()), "utf-8")
    (directory / EXIT_CODES_PAGE).write_text(exit_codes_page(exit_codes()), "utf-8")


def write_man_pages(directory: Path) -> None:
    """Write a manual page for every command, and remove those of commands that are gone."""
    from outcrop.cli.reference_man import man_page

    directory.mkdir(parents=True, exist_ok=True)
    entries = command_entries()
    pages = {f"{entry.page}.1": man_page(entry, entries, exit_codes()) for entry in entries}
    for old in directory.glob(f"{PROGRAM}*.1"):
        if old.name not in pages:
            old.unlink()
    for name, text in pages.items():
        (directory / name).write_text(text, "utf-8")


def _walk(command: click.Command, context: click.Context, summary: str) -> Iterator[CommandEntry]:
    yield _entry(command, context, summary)
    if not isinstance(command, LazyGroup):
        return
    for name, place in command.places.items():
        below = command.get_command(context, name)
        assert below is not None, name
        yield from _walk(below, Context(below, info_name=name, parent=context), place.summary)


def _entry(command: click.Command, context: click.Context, summary: str) -> CommandEntry:
    options = [param for param in command.get_params(context) if isinstance(param, click.Option) and not param.hidden]
    places = command.places if isinstance(command, LazyGroup) else {}
    return CommandEntry(
        path=tuple(context.command_path.split()),
        summary=summary,
        usage=" ".join([context.command_path, *command.collect_usage_pieces(context)]),
        description=tuple(" ".join(paragraph.split()) for paragraph in description(command).split("\n\n")),
        options=tuple(_option(option, context) for option in options),
        examples=tuple(Example(line, comment.removeprefix("# ")) for line, comment in example_lines(command)),
        parts=tuple((name, place.summary) for name, place in places.items()),
    )


def _option(option: click.Option, context: click.Context) -> OptionEntry:
    names = (option.envvar,) if isinstance(option.envvar, str) else tuple(option.envvar or ())
    return OptionEntry(
        spelling=option.get_help_spec(context),
        help=" ".join((option.help or "").split()),
        default=shown_default(option, context),
        variables=names,
    )


def _first_line(kind: type) -> str:
    """What an error class stands for; what follows a semicolon is for programmers."""
    line = (kind.__doc__ or "").strip().splitlines()[0].partition(";")[0].rstrip(".")
    return line[:1].lower() + line[1:]


@click.command()
@click.option("--markdown", type=click.Path(path_type=Path, file_okay=False), help="Write the reference there.")
@click.option("--man", type=click.Path(path_type=Path, file_okay=False), help="Write the manual pages there.")
def main(markdown: Path | None, man: Path | None) -> None:
    """Write the generated documentation; without options, into the tree that this module lies in."""
    if markdown is None and man is None:
        reference = Path(__file__).resolve().parents[3] / "docs" / "reference"
        markdown, man = reference, reference / "man"
    if markdown is not None:
        write_markdown(markdown)
    if man is not None:
        write_man_pages(man)


if __name__ == "__main__":
    main()
