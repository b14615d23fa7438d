"""What the commands of `outcrop cache` have in common: which caches are meant, and sizes."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import click

from outcrop.cli.console import Console
from outcrop.cli.reading import Reading
from outcrop.client.cache.scan import Amount
from outcrop.client.cache.sizes import parse_limit, parse_size, size_text
from outcrop.client.cache_choice import CacheChoice, CacheSettings
from outcrop.client.configuration import load_known_repositories, stock_access
from outcrop.client.known_repository import RepositoryAddress
from outcrop.client.repository import ClientSettings, cache_choice
from outcrop.directories import config_directory, data_directory, located
from outcrop.errors import NotFound

Command = TypeVar("Command", bound=Callable[..., Any])


def cache_option(command: Command) -> Command:
    """`--cache DIR`: the directory of objects, instead of this user's."""
    return click.option(
        "--cache", type=click.Path(), metavar="DIR", help="The directory of objects, instead of yours."
    )(command)


def limit_option(command: Command) -> Command:
    """`--limit SIZE`: the limit to go by, instead of what settings state."""
    return click.option(
        "--limit", metavar="SIZE", default="", help="The limit, instead of OUTCROP_CACHE_LIMIT: 20G, 500M, none."
    )(command)


def repository_argument(command: Command) -> Command:
    """`[REPO]`: the repository whose cache is meant, where a site has one for some."""
    return click.argument("repository", metavar="[REPO]", required=False)(command)


def chosen_caches(console: Console, repository: str | None, cache: str | Path | None, limit: str = "") -> CacheChoice:
    """The caches that readers of `repository` would use; without one, those of readers for whom no site says anything.

    `cache` and `limit` come first, where they are given. NotFound for a repository that is not known."""
    known = load_known_repositories(
        config_directory(), data_directory(), stock_access(os.environ, console.warning), os.environ
    )
    found = known.find(repository) if repository else None
    if repository and found is None:
        raise NotFound(what=f"a repository called {repository!r}", hint="`outcrop config list` shows those with a name")
    kept = CacheSettings.from_environment()
    if limit:
        kept = replace(kept, limit=parse_limit(limit, "--limit"), limit_is_stated=True)
    settings = ClientSettings(cache=located(cache) if cache else None)
    return cache_choice(found or known.choice, settings, console.warning, kept)


def caches_for(console: Console, reading: Reading, address: RepositoryAddress) -> CacheChoice:
    """The caches by which `address` is read as `reading` says."""
    return cache_choice(address, reading.settings(), console.warning)


def size_argument(text: str, name: str) -> int | None:
    """The bytes that the option `name` says, None where it is not given."""
    return parse_size(text, name) if text else None


def amount_text(amount: Amount, noun: str) -> str:
    """`12 objects, 3.2 MiB`."""
    return f"{amount.files:,} {noun if amount.files == 1 else noun + 's'}, {size_text(amount.bytes)}"
