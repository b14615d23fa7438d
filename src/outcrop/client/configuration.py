"""The repositories that this user can read by their names alone.

From `config.toml` in the configuration directory:

    [repositories."software.example.org"]
    servers = ["http://s1.example.org/cvmfs/@fqrn@", "http://s2.example.org/cvmfs/@fqrn@"]
    keys = ["keys/example.org.pub"]
    external_servers = ["http://data.example.org"]

`@fqrn@` stands for the name, `@org@` for its first label. Keys are files or directories, relative to the file that
names them. Repositories that this user owns need no entry: `<name>.toml` in the data directory says where their storage
is, and `<name>.pub` is their key.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import msgspec

from outcrop.cvmfs.names import RepositoryName, repository_name
from outcrop.errors import FormatError, InvalidValue, storage_error
from outcrop.storage.places import located_address

CONFIGURATION_NAME = "config.toml"
_OWNED_SUFFIX = ".toml"
_EDIT = "edit {}"


@dataclass(frozen=True, slots=True)
class KnownRepository:
    """A repository with a name: its servers in order (URLs or directories), its keys, its servers of external files."""

    name: RepositoryName
    servers: tuple[str, ...]
    keys: tuple[Path, ...]
    external_servers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class KnownRepositories:
    """All repositories with a name. What is configured comes before what is owned."""

    by_name: Mapping[str, KnownRepository] = field(default_factory=dict)

    def find(self, name: str) -> KnownRepository | None:
        return self.by_name.get(name)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self.by_name))


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    servers: list[str]
    keys: list[str]
    external_servers: list[str] = msgspec.field(default_factory=list)


class _Owned(msgspec.Struct, frozen=True):
    storage: str


Table = TypeVar("Table", bound=msgspec.Struct)


def load_known_repositories(config_directory: Path, data_directory: Path) -> KnownRepositories:
    """What the two directories say; either may be missing. FormatError names the file and the field that is wrong."""
    owned = _owned(data_directory)
    return KnownRepositories({**owned, **_configured(config_directory / CONFIGURATION_NAME)})


def _configured(path: Path) -> dict[str, KnownRepository]:
    document = _document(path)
    tables = document.get("repositories", {})
    if not isinstance(tables, dict):
        raise FormatError(what=str(path), field="repositories", problem="is not a table", hint=_EDIT.format(path))
    known = {}
    for label, table in tables.items():
        where = f'repositories."{label}"'
        try:
            name = repository_name(label)
        except InvalidValue as error:
            raise FormatError(what=str(path), field=where, problem="is no repository name", hint=error.hint) from error
        settings = _converted(table, _Table, path, where)
        for key, value in (("servers", settings.servers), ("keys", settings.keys)):
            if not value:
                raise FormatError(what=str(path), field=f"{where}.{key}", problem="is empty", hint=_EDIT.format(path))
        known[label] = KnownRepository(
            name=name,
            servers=tuple(_filled_in(server, name) for server in settings.servers),
            keys=tuple(path.parent / Path(key).expanduser() for key in settings.keys),
            external_servers=tuple(_filled_in(server, name) for server in settings.external_servers),
        )
    return known


def _owned(data_directory: Path) -> dict[str, KnownRepository]:
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
        settings = _converted(_document(path), _Owned, path, "the file")
        storage = located_address(settings.storage, path.parent)
        known[path.stem] = KnownRepository(name, (storage,), (path.with_suffix(".pub"),))
    return known


def _document(path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        # Also in somebody else's home, as after `su` or in a batch job: what is named on the command line is enough.
        return {}
    except OSError as error:
        raise storage_error(error) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise FormatError(
            what=str(path), field="the TOML text", problem=f"cannot be read ({error})", hint=_EDIT.format(path)
        ) from error


def _converted(value: object, kind: type[Table], path: Path, where: str) -> Table:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise FormatError(what=str(path), field=where, problem=f"is wrong: {error}", hint=_EDIT.format(path)) from error


def _filled_in(template: str, name: RepositoryName) -> str:
    return template.replace("@fqrn@", name).replace("@org@", name.split(".")[0])
