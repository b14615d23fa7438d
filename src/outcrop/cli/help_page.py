"""How a help page looks: usage, what the command does, its options with their defaults, examples."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path

import click

from outcrop.cli.console import Console
from outcrop.cli.options import example_lines
from outcrop.cli.terminal import Style, painted
from outcrop.cli.variables import SHARED, option_name

WIDEST_PAGE = 100
"""Longer lines are hard to read, however wide the terminal is."""

WIDEST_TERM = 30
"""A longer option stands on a line of its own, so that the others keep their descriptions beside them."""

_COLUMN_GAP = 2

_NARROWEST = 20
"""Columns that a text gets on the narrowest terminal; there it overflows rather than becoming a pillar of letters."""

_NO_BREAK_SPACE = "\xa0"

_REMARK = re.compile(r"\[[^\]]{,40}\]$")
"""What stands behind the help of an option, as in `[default: 240]`."""

_TOGETHER = re.compile(r"(-[\w-]+ )?'[^']*'|-[\w-]+ [^-\s]\S*")
"""What no line break parts in an example: an option and its value, and what stands in quotes."""

_CONTINUED = " \\"
"""How a command line says that it goes on below."""


class HelpFormatter(click.HelpFormatter):
    """click's formatter with coloured headings and terms. click takes the colours away where they are not wanted."""

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
        super().write_usage(prog, args, prefix or painted("Usage:", Style.HEADING) + " ")

    def write_heading(self, heading: str) -> None:
        self.write(f"{'':>{self.current_indent}}{painted(heading + ':', Style.HEADING)}\n")

    def write_text(self, text: str) -> None:
        """Paragraphs, which blank lines divide."""
        indent = " " * self.current_indent
        paragraphs = (" ".join(paragraph.split()) for paragraph in text.split("\n\n"))
        wrapped = (_wrapped(paragraph, self.width - self.current_indent) for paragraph in paragraphs)
        self.write("\n\n".join("\n".join(indent + line for line in lines) for lines in wrapped) + "\n")

    def write_dl(
        self, rows: Iterable[tuple[str, str]], col_max: int = WIDEST_TERM, col_spacing: int = _COLUMN_GAP
    ) -> None:
        rows = list(rows)
        column = max((len(term) for term, _ in rows if len(term) <= col_max), default=col_max) + col_spacing
        margin = " " * self.current_indent
        for term, text in rows:
            lines = _wrapped(text, self.width - self.current_indent - column)
            beside = len(term) <= column - col_spacing
            first = f"{' ' * (column - len(term))}{lines.pop(0)}" if beside and lines else ""
            self.write(f"{margin}{painted(term, Style.ACCENT)}{first}\n")
            for line in lines:
                self.write(f"{margin}{' ' * column}{line}\n")

    def write_examples(self, lines: Sequence[tuple[str, str]]) -> None:
        """Command lines with their comments: beside them where all fit, above them otherwise. What is too long for the
        page is broken as a shell takes it."""
        column = max((len(line) for line, comment in lines if comment), default=0) + _COLUMN_GAP
        longest = max(len(comment) for _, comment in lines)
        beside = self.current_indent + column + longest <= self.width
        indent = " " * self.current_indent
        for line, comment in lines:
            if comment and beside:
                self.write(f"{indent}{line:<{column}}{painted(comment, Style.COMMENT)}\n")
                continue
            if comment:
                self.write(f"{indent}{painted(comment, Style.COMMENT)}\n")
            parts = _wrapped(line, self.width - self.current_indent - len(_CONTINUED), _TOGETHER)
            self.write(indent + f"{_CONTINUED}\n{indent}    ".join(parts) + "\n")


class Context(click.Context):
    """What makes every help page of the tree look so."""

    formatter_class = HelpFormatter


class PoliteCommand(click.Command):
    """A command with our help page."""

    context_class = Context

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        option = super().get_help_option(ctx)
        if option is not None:
            option.help = "Show this page."
            option.callback = _show_help
        return option

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        text = description(self)
        if text:
            formatter.write_paragraph()
            formatter.write_text(text)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        options = [param for param in self.get_params(ctx) if isinstance(param, click.Option) and not param.hidden]
        with formatter.section("Options"):
            formatter.write_dl([option_row(option, ctx) for option in options])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        lines = example_lines(self)
        if lines and isinstance(formatter, HelpFormatter):
            with formatter.section("Examples"):
                formatter.write_examples(lines)


def description(command: click.Command) -> str:
    """What a command says of itself, in paragraphs."""
    return inspect.cleandoc(command.help or "").partition("\f")[0]


def option_row(option: click.Option, context: click.Context) -> tuple[str, str]:
    """An option as its page shows it: how it is written, and what it does."""
    remarks = []
    default = shown_default(option, context)
    if default:
        remarks.append(f"default: {default}")
    if option.required:
        remarks.append("required")
    shared = option_name(option) in SHARED
    if shared and option.envvar:
        remarks.append(f"or {option.envvar if isinstance(option.envvar, str) else option.envvar[-1]}")
    text = " ".join((option.help or "").split())
    return option.get_help_spec(context), " ".join([text, *(f"[{remark}]" for remark in remarks)])


def shown_default(option: click.Option, context: click.Context) -> str:
    """The value of an option that is not given, where it says something: not for flags, nor for nothing."""
    if isinstance(option.show_default, str):
        return option.show_default
    value = option.get_default(context, call=False)
    if option.is_bool_flag:
        spelling = option.opts if value is True else option.secondary_opts
        return spelling[0] if option.secondary_opts and isinstance(value, bool) else ""
    if isinstance(value, (list, tuple)):
        return " ".join(str(one) for one in value)
    return str(value) if isinstance(value, (str, int, float, Path)) else ""


def _show_help(context: click.Context, _option: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        show_page(context, context.ensure_object(Console))
        context.exit()


def show_page(context: click.Context, console: Console) -> None:
    """Answers with the help page of the context's command."""
    console.page(context.get_help().rstrip())


def _wrapped(text: str, width: int, whole: re.Pattern[str] = _REMARK) -> list[str]:
    """The lines of `text`. Words with hyphens (`--no-auto-tag`) stay whole, and so does what matches `whole`."""
    kept = whole.sub(lambda match: match.group().replace(" ", _NO_BREAK_SPACE), text)
    lines = textwrap.wrap(kept, max(width, _NARROWEST), break_on_hyphens=False, break_long_words=False)
    return [line.replace(_NO_BREAK_SPACE, " ") for line in lines]
