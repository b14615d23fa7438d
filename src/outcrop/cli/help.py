"""`outcrop help`"""

from __future__ import annotations

import click

from outcrop.cli.console import Console
from outcrop.cli.help_page import show_page
from outcrop.cli.options import examples


@click.command("help", epilog=examples("outcrop help", "outcrop help repo ingest    # as `outcrop repo ingest --help`"))
@click.argument("words", nargs=-1, metavar="[COMMAND]...")
@click.pass_context
def command(context: click.Context, *, words: tuple[str, ...]) -> None:
    """Show the help page of a command, or of Outcrop as a whole."""
    # The page must look as after `COMMAND --help`, so its contexts are made from the top.
    page = context.find_root()
    for word in words:
        if not isinstance(page.command, click.Group):
            break
        _, named, _ = page.command.resolve_command(page, [word])
        assert named is not None, word
        page = named.make_context(word, [], parent=page, resilient_parsing=True)
    show_page(page, context.ensure_object(Console))
