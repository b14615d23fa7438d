"""Names of repositories, as the shell completes them: what is configured and what is owned, without a network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from outcrop.directories import config_directory, data_directory

_RECORD_SUFFIX = ".toml"


class RepositoryNames(click.types.StringParamType):
    """Any text; the shell offers the names that `names` finds."""

    def __init__(self, names: Callable[[], list[str]]) -> None:
        self._names = names

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return [CompletionItem(name) for name in self._names() if name.startswith(incomplete)]


def owned_names() -> list[str]:
    """The repositories with a record in the data directory."""
    try:
        # A repository's name has a dot; other records do not.
        return sorted(path.stem for path in _entries(data_directory()) if "." in path.stem)
    except OSError:
        return []


def readable_names() -> list[str]:
    """The repositories that can be read by name: those in the configuration, and the owned ones."""
    import tomllib

    try:
        document = tomllib.loads((config_directory() / "config.toml").read_text("utf-8"))
    except (OSError, ValueError):
        # A command that reads the configuration says what is wrong with it; a completion has no place to.
        document = {}
    configured = document.get("repositories")
    return sorted({*(configured if isinstance(configured, dict) else ()), *owned_names()})


def _entries(directory: Path) -> list[Path]:
    return [path for path in directory.iterdir() if path.suffix == _RECORD_SUFFIX]


REPOSITORY_TYPES: Mapping[str, RepositoryNames] = {
    "FQRN": RepositoryNames(owned_names),
    "REPO": RepositoryNames(readable_names),
    "MOUNTPOINT|REPO": RepositoryNames(readable_names),
}
"""By the name that a parameter has in the usage line: `FQRN` is a repository to write, `REPO` one to read."""
