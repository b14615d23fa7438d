"""What all commands that read a repository have in common: how it is named, proved and chosen a revision of."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from outcrop.cli.console import Console
from outcrop.client.address import find_address
from outcrop.client.configuration import load_known_repositories
from outcrop.client.repository import ClientSettings, OpenRepository, RevisionChoice, open_repository
from outcrop.cvmfs.digest import Digest
from outcrop.directories import config_directory, data_directory
from outcrop.errors import OutcropError

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Reading:
    """The answers to the options of `reading_options`."""

    repository: str
    keys: tuple[Path, ...]
    name: str
    tag: str
    revision: int | None
    root_hash: str
    cache: Path | None
    external: tuple[str, ...]
    name_option: str

    def open(self, console: Console) -> OpenRepository:
        """The repository, trusted and ready; `console` hears what had to be mended on the way."""
        known = load_known_repositories(config_directory(), data_directory())
        root_catalog = Digest.parse(self.root_hash, what="the option --root-hash") if self.root_hash else None
        choice = RevisionChoice(self.tag, self.revision, root_catalog)
        try:
            address = find_address(
                self.repository, known, name=self.name, keys=self.keys, external_servers=self.external
            )
            return open_repository(address, ClientSettings(cache=self.cache), choice, console.warning)
        except OutcropError as error:
            error.hint = error.hint.replace(f"`{_NAME_OPTION} ", f"`{self.name_option} ")
            raise


_NAME_OPTION = "--name"
_OPTIONS = (
    click.argument("repository", metavar="REPO"),
    click.option("--key", "keys", type=click.Path(path_type=Path), multiple=True,
                 help="A public key that proves it, or a directory with *.pub files. May be given again."),
    click.option("--tag", default="", metavar="NAME", help="The revision that has this tag."),
    click.option("--revision", type=click.IntRange(min=0), help="The revision of this number, if it has a tag."),
    click.option("--root-hash", default="", metavar="DIGEST", help="The revision with this root catalog."),
    click.option("--cache", type=click.Path(path_type=Path), metavar="DIR", help="Where objects are kept."),
    click.option("--external", multiple=True, metavar="URL", help="A server of external files. May be given again."),
)  # fmt: skip


def reading_options(command: Command) -> Command:
    """The argument REPO and the options by which a repository is read; the command gets them as `reading`.

    REPO stands before the arguments of the command's own, so this is the first decorator below `click.command`."""
    return _with_options(command, _NAME_OPTION)


def reading_options_with_fqrn(command: Command) -> Command:
    """`reading_options` for a command that has another use for `--name`: the repository's is `--fqrn` there."""
    return _with_options(command, "--fqrn")


def _with_options(command: Command, name_option: str) -> Command:
    @functools.wraps(command)
    def wrapped(
        *args: object,
        repository: str,
        keys: tuple[Path, ...],
        fqrn: str,
        tag: str,
        revision: int | None,
        root_hash: str,
        cache: Path | None,
        external: tuple[str, ...],
        **others: object,
    ) -> object:
        reading = Reading(repository, keys, fqrn, tag, revision, root_hash, cache, external, name_option)
        return command(*args, reading=reading, **others)

    name = click.option(
        name_option, "fqrn", default="", metavar="FQRN", help="The repository's name, where its URL does not end in it."
    )
    decorated: Any = wrapped
    for option in (*reversed(_OPTIONS[2:]), name, *reversed(_OPTIONS[:2])):
        decorated = option(decorated)
    result: Command = decorated
    return result
