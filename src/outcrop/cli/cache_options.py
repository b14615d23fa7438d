"""What the commands of `outcrop cache` have in common: which caches are meant, and sizes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import click

from outcrop.client.cache.scan import Amount
from outcrop.client.cache.sizes import parse_limit, parse_size, size_text
from outcrop.client.cache_choice import CacheChoice, CacheSettings
from outcrop.directories import cache_directory

Command = TypeVar("Command", bound=Callable[..., Any])


def cache_option(command: Command) -> Command:
    """`--cache DIR`: the directory of objects, instead of this user's."""
    return click.option(
        "--cache", type=click.Path(path_type=Path), metavar="DIR", help="The directory of objects, instead of yours."
    )(command)


def limit_option(command: Command) -> Command:
    """`--limit SIZE`: the limit to go by, instead of `OUTCROP_CACHE_LIMIT`."""
    return click.option(
        "--limit", metavar="SIZE", default="", help="The limit, instead of OUTCROP_CACHE_LIMIT: 20G, 500M, none."
    )(command)


def chosen_caches(cache: Path | None, limit: str, tell: Callable[[str], None]) -> CacheChoice:
    """The caches that readers would use."""
    settings = CacheSettings.from_environment()
    if limit:
        settings = replace(settings, limit=parse_limit(limit, "--limit"), limit_is_stated=True)
    return CacheChoice(cache_directory(), cache.absolute() if cache else None, tell, settings)


def size_argument(text: str, name: str) -> int | None:
    """The bytes that the option `name` says, None where it is not given."""
    return parse_size(text, name) if text else None


def amount_text(amount: Amount, noun: str) -> str:
    """`12 objects, 3.2 MiB`."""
    return f"{amount.files:,} {noun if amount.files == 1 else noun + 's'}, {size_text(amount.bytes)}"
