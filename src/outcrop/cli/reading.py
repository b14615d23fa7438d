"""What all commands that read a repository have in common: how it is named, proved and chosen a revision of."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from outcrop.cli.console import Console
from outcrop.client.reading_settings import ClientSettings, RevisionChoice
from outcrop.cvmfs.digest import Digest
from outcrop.directories import config_directory, data_directory, located
from outcrop.errors import FormatError, UsageError

if TYPE_CHECKING:
    from outcrop.client.known_repository import RepositoryAddress
    from outcrop.client.repository import OpenRepository

Command = TypeVar("Command", bound=Callable[..., Any])

_OUR_VARIABLES = ("OUTCROP_", "XDG_", "HOME")
"""How variables begin that say where settings are, or are some."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The answers to the options of `reading_options`. Paths are absolute, and `repository` is empty where
    none is named."""

    repository: str
    keys: tuple[Path, ...]
    name: str
    tag: str
    revision: int | None
    root_hash: str
    cache: Path | None
    external: tuple[str, ...]

    def address(self, console: Console) -> RepositoryAddress:
        """Where the repository is, and what proves it; `console` hears what is amiss in the configuration."""
        # `outcrop run` often needs none of this, and starts in a tenth of the time without.
        from outcrop.client.address import find_address
        from outcrop.client.configuration import load_known_repositories, stock_access

        stock = stock_access(os.environ, console.warning)
        known = load_known_repositories(config_directory(), data_directory(), stock, os.environ)
        return find_address(self.repository, known, name=self.name, keys=self.keys, external_servers=self.external)

    def places(self) -> tuple[Path, ...]:
        """The files and directories that have a say in `address`, whether they exist or not."""
        from outcrop.client.configuration import configuration_places

        return configuration_places(config_directory(), data_directory(), self.name or self.repository, os.environ)

    def question(self) -> tuple[str, ...]:
        """What makes another reading the same as this one: all that was said, and what the environment says of it."""
        said = (self.repository, self.name, self.tag, self.revision, self.root_hash, self.cache)
        settings = sorted(f"{name}={value}" for name, value in os.environ.items() if name.startswith(_OUR_VARIABLES))
        return (*map(str, said), *map(str, self.keys), *self.external, *settings)

    def choice(self) -> RevisionChoice:
        """Which revision is wanted; UsageError for a root hash that is none."""
        return RevisionChoice(self.tag, self.revision, _root_catalog(self.root_hash) if self.root_hash else None)

    def settings(self) -> ClientSettings:
        """How it is read."""
        return ClientSettings(cache=self.cache)

    def open(self, console: Console) -> OpenRepository:
        """The repository, trusted and ready; `console` hears what had to be mended on the way."""
        return self.open_at(self.address(console), console)

    def open_at(self, address: RepositoryAddress, console: Console) -> OpenRepository:
        """The same for who knows the `address` already."""
        from outcrop.client.repository import open_repository

        return open_repository(address, self.settings(), self.choice(), console.warning)


def _root_catalog(text: str) -> Digest:
    try:
        return Digest.parse(text)
    except FormatError as error:
        raise UsageError(
            problem=f"`--root-hash` is no digest of a root catalog: {text!r}",
            hint="`outcrop stat REPO /` shows that of the current revision, `outcrop mount status` that of a mount",
        ) from error


def _said(context: click.Context, option: click.Parameter, value: str | None) -> str | None:
    """`value`, which is not empty: a script's unset variable would read the current revision unasked."""
    if value == "":
        name = option.opts[0]
        raise UsageError(
            problem=f"`{name}` is given and says nothing",
            hint=f"leave `{name}` out to read the current revision; in a script, is the variable set?",
        )
    return value


_KEY_OPTION = click.option(
    "--key", "keys", type=click.Path(), multiple=True,
    help="A public key that proves it, or a directory with *.pub files. May be given again.",
)  # fmt: skip
_REVISION_OPTIONS = (
    click.option("--tag", callback=_said, metavar="NAME", help="The revision that has this tag."),
    click.option("--revision", type=click.IntRange(min=0), help="The revision of this number, if it has a tag."),
    click.option("--root-hash", callback=_said, metavar="DIGEST", help="The revision with this root catalog."),
)
_OTHER_OPTIONS = (
    click.option("--cache", type=click.Path(), metavar="DIR", help="Where objects are kept."),
    click.option("--external", multiple=True, metavar="URL", help="A server of external files. May be given again."),
)


def reading_options(command: Command) -> Command:
    """The argument REPO and the options by which a repository is read; the command gets them as `reading`.

    REPO stands before the arguments of the command's own, so this is the first decorator below `click.command`."""
    return reading_options_with()(command)


def reading_options_with(
    *, name_spelling: bool = True, required: bool = True, one_revision: bool = True
) -> Callable[[Command], Command]:
    """`reading_options` for a command that has another use for `--name`, the second spelling of `--fqrn`
    (`name_spelling`), that can do something without REPO (`required`), or that is told in another way what revisions
    it is about (`one_revision`)."""
    return functools.partial(_with_options, name_spelling=name_spelling, required=required, one_revision=one_revision)


def _with_options(command: Command, *, name_spelling: bool, required: bool, one_revision: bool) -> Command:
    @functools.wraps(command)
    def wrapped(
        *args: object,
        repository: str | None,
        keys: tuple[str, ...],
        fqrn: str,
        cache: str | None,
        external: tuple[str, ...],
        tag: str | None = None,
        revision: int | None = None,
        root_hash: str | None = None,
        **others: object,
    ) -> object:
        reading = Reading(
            repository=repository or "",
            keys=tuple(map(located, keys)),
            name=fqrn,
            tag=tag or "",
            revision=revision,
            root_hash=root_hash or "",
            cache=located(cache) if cache else None,
            external=external,
        )
        return command(*args, reading=reading, **others)

    name = click.option(
        "--fqrn",
        *(["--name"] if name_spelling else []),
        "fqrn",
        default="",
        metavar="FQRN",
        help="The repository's name, where its URL does not end in it.",
    )
    argument = click.argument("repository", metavar="REPO", required=required)
    decorated: Any = wrapped
    revision_options = _REVISION_OPTIONS if one_revision else ()
    for option in reversed((argument, _KEY_OPTION, name, *revision_options, *_OTHER_OPTIONS)):
        decorated = option(decorated)
    result: Command = decorated
    return result
