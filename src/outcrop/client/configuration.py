"""Which repositories are known by name on this machine, to this user.

Sources, in the order that the user's own file may change (`outcrop.client.configuration_file`):

1.  that file;
2.  the repositories that this user owns: `<name>.toml` in the data directory says where the storage is, `<name>.pub` is
    the key;
3.  stock configurations of the site (`outcrop.client.stock_configuration`): `/etc/cvmfs`, or the directories that
    `OUTCROP_CVMFS_ETC` names, with colons between them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from outcrop import directories
from outcrop.client.configuration_file import (
    CONFIGURATION_NAME,
    CONFIGURED,
    OWNED,
    ConfigurationFile,
    converted,
    load_configuration_file,
    read_document,
)
from outcrop.client.known_repository import KnownRepositories, KnownRepository, RepositorySource
from outcrop.client.stock_configuration import StockConfiguration
from outcrop.client.stock_configuration_repository import ConfigurationCopies
from outcrop.cvmfs.names import repository_name
from outcrop.errors import InvalidValue, storage_error
from outcrop.storage.places import located_address

STOCK_VARIABLE = "OUTCROP_CVMFS_ETC"
_CACHE_VARIABLE = "OUTCROP_CACHE_DIR"
_OWNED_SUFFIX = ".toml"


@dataclass(frozen=True, slots=True)
class StockAccess:
    """How stock configurations are read. `directories` takes the place of those in the user's own file (None leaves
    them), `copies` keeps copies of configuration repositories (None asks no network), `tell` hears what is amiss."""

    directories: tuple[Path, ...] | None = None
    copies: ConfigurationCopies | None = None
    tell: Callable[[str], None] = lambda _text: None


def stock_access(environment: Mapping[str, str], tell: Callable[[str], None]) -> StockAccess:
    """How this user reads stock configurations: what the environment says, with copies in the state directory."""
    named = environment.get(STOCK_VARIABLE)
    places = None if named is None else tuple(directories.located(one, environment) for one in named.split(":") if one)
    copies = ConfigurationCopies(directories.state_directory(environment) / "configuration")
    return StockAccess(places, copies, tell)


def load_known_repositories(
    config_directory: Path,
    data_directory: Path,
    stock: StockAccess | None = None,
    environment: Mapping[str, str] | None = None,
) -> KnownRepositories:
    """All that is known by name; both directories may be missing. Without `stock`, stock configurations are left alone.

    A cache directory in the `environment` comes before those of files. FormatError names the file and the field that is
    wrong; stock files are read when a name is asked for."""
    own = load_configuration_file(config_directory / CONFIGURATION_NAME)
    sources: list[RepositorySource] = []
    for source in _sources(own, stock):
        if source == CONFIGURED:
            sources.append(_Listed(own.repositories))
        elif source == OWNED:
            sources.append(_Listed(owned_repositories(data_directory)))
        elif stock is not None:
            copies = stock.copies if own.uses_repositories else None
            sources.append(StockConfiguration(Path(source), copies, stock.tell))
    choice = own.choice
    if environment and environment.get(_CACHE_VARIABLE):
        choice = replace(choice, cache_directory=None, uses_stock_cache=False)
    return KnownRepositories(sources=tuple(sources), choice=choice)


def configuration_places(
    config_directory: Path, data_directory: Path, name: str, environment: Mapping[str, str]
) -> tuple[Path, ...]:
    """The files and directories that have a say in what is known of the repository `name`, whether they exist or not.
    What a configuration repository says is not among them: it changes in its own time."""
    own_file = config_directory / CONFIGURATION_NAME
    stock = stock_access(environment, lambda _text: None)
    sources = _sources(load_configuration_file(own_file), stock)
    directories_of_sites = (Path(source) for source in sources if source not in (CONFIGURED, OWNED))
    owned = (data_directory / f"{name}{suffix}" for suffix in (_OWNED_SUFFIX, ".pub"))
    return (own_file, *owned, *directories_of_sites)


def owned_repositories(data_directory: Path) -> dict[str, KnownRepository]:
    """The repositories with a record in `data_directory`; FormatError for a record that cannot be understood."""
    try:
        files = sorted(data_directory.glob("*" + _OWNED_SUFFIX))
    except OSError as error:
        raise storage_error(error) from error
    known = {}
    for path in files:
        try:
            name = repository_name(path.stem)
        except InvalidValue:
            continue
        settings = converted(read_document(path), _Owned, path, "the file")
        storage = located_address(settings.storage, path.parent)
        known[path.stem] = KnownRepository(name, (storage,), (path.with_suffix(".pub"),), source=str(path))
    return known


class _Owned(msgspec.Struct, frozen=True):
    storage: str


@dataclass(frozen=True, slots=True)
class _Listed:
    """A source that knows what is listed."""

    repositories: Mapping[str, KnownRepository]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self.repositories))

    @property
    def domains(self) -> tuple[str, ...]:
        return ()

    def find(self, name: str) -> KnownRepository | None:
        return self.repositories.get(name)

    def source(self, name: str) -> str:
        return self.repositories[name].source


def _sources(own: ConfigurationFile, stock: StockAccess | None) -> list[str]:
    """The sources in order; directories of the environment stand where the first directory of the file stood."""
    if stock is None or stock.directories is None:
        return list(own.sources)
    named = [str(directory) for directory in stock.directories]
    first = next((at for at, one in enumerate(own.sources) if one not in (CONFIGURED, OWNED)), len(own.sources))
    rest = [one for one in own.sources[first:] if one in (CONFIGURED, OWNED)]
    return [*own.sources[:first], *named, *rest]
