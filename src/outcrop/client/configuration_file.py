"""The user's own settings: `config.toml` in the configuration directory. Every table and every field may be missing.

    [repositories."software.example.org"]
    servers = ["http://s1.example.org/cvmfs/@fqrn@", "http://s2.example.org/cvmfs/@fqrn@"]
    keys = ["keys/example.org.pub"]
    external_servers = ["http://data.example.org"]

    [network]                       # for all repositories, whatever stock files say
    proxies = "http://proxy1:3128|http://proxy2:3128;DIRECT"
    order = "latency"               # or "as given", "geographic"
    timeout = 5

    [cache]
    directory = "/scratch/objects"
    limit = "20 GB"

    [variables]                     # what links of repositories name, as in `$(EESSI_HOST_INJECTIONS)`
    EESSI_HOST_INJECTIONS = "/opt/site/injected"

    [configuration]
    sources = ["configured", "owned", "/etc/cvmfs", "/opt/site/etc/cvmfs"]
    configuration_repositories = true

`@fqrn@` stands for the name, `@org@` for its first label. Paths are relative to the file. In `sources`, `configured`
are the repositories of this file, `owned` those of this user, and a path is a directory with stock configuration files.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import msgspec

from outcrop.client.known_repository import NO_CHOICE, ClientChoice, KnownRepository, NetworkChoice
from outcrop.client.network.proxies import ProxyGroups, parse_proxies
from outcrop.client.network.settings import DEFAULT_NETWORK, ServerOrder
from outcrop.cvmfs.names import RepositoryName, repository_name
from outcrop.errors import FormatError, InvalidValue, storage_error

CONFIGURATION_NAME = "config.toml"
CONFIGURED = "configured"
OWNED = "owned"
DEFAULT_SOURCES = (CONFIGURED, OWNED, "/etc/cvmfs")

_EDIT = "edit {}"
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([kMGT]?)(i?)B?", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}

_Seconds = Annotated[float, msgspec.Meta(gt=0, le=86400)]
_Pause = Annotated[float, msgspec.Meta(ge=0, le=86400)]
_Count = Annotated[int, msgspec.Meta(ge=0, le=2**31)]


class _Network(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    proxies: str | None = None
    fallback_proxies: str | None = None
    order: Literal["as given", "geographic", "latency"] | None = None
    timeout: _Seconds | None = None
    timeout_direct: _Seconds | None = None
    low_speed_bytes: _Count | None = None
    retries: _Count | None = None
    backoff_initial: _Pause | None = None
    backoff_maximum: _Pause | None = None
    proxy_reset_after: _Pause | None = None
    host_reset_after: _Pause | None = None
    follow_redirects: bool | None = None
    parallel: Annotated[int, msgspec.Meta(ge=1, le=256)] | None = None
    maximum_servers: _Count | None = None


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    servers: list[str]
    keys: list[str]
    external_servers: list[str] = msgspec.field(default_factory=list)
    network: dict[str, object] = msgspec.field(default_factory=dict)


class _Cache(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    directory: str = ""
    limit: int | str | None = None


class _Sources(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    sources: list[str] = msgspec.field(default_factory=lambda: list(DEFAULT_SOURCES))
    configuration_repositories: bool = True


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    repositories: dict[str, object] = msgspec.field(default_factory=dict)
    network: dict[str, object] = msgspec.field(default_factory=dict)
    cache: dict[str, object] = msgspec.field(default_factory=dict)
    configuration: dict[str, object] = msgspec.field(default_factory=dict)
    variables: dict[str, str] = msgspec.field(default_factory=dict)


Table = TypeVar("Table", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class ConfigurationFile:
    """What the file says. `sources` are `CONFIGURED`, `OWNED` and directories, in order; `uses_repositories` says
    whether configuration repositories are asked."""

    repositories: Mapping[str, KnownRepository] = field(default_factory=dict)
    choice: ClientChoice = NO_CHOICE
    sources: tuple[str, ...] = DEFAULT_SOURCES
    uses_repositories: bool = True


def load_configuration_file(path: Path) -> ConfigurationFile:
    """The settings in the file at `path`, which may be missing. FormatError names the field that is wrong."""
    document = converted(read_document(path), _File, path, "the file")
    cache = converted(document.cache, _Cache, path, "cache")
    sources = converted(document.configuration, _Sources, path, "configuration")
    choice = ClientChoice(
        source=str(path),
        network=_network(document.network, path, "network"),
        cache_directory=_located(cache.directory, path) if cache.directory else None,
        cache_limit=None if cache.limit is None else _size(cache.limit, path, "cache.limit"),
        variables=document.variables,
    )
    return ConfigurationFile(
        repositories=_repositories(document.repositories, path),
        choice=choice,
        sources=tuple(_source(source, path) for source in sources.sources),
        uses_repositories=sources.configuration_repositories,
    )


def _repositories(tables: Mapping[str, object], path: Path) -> dict[str, KnownRepository]:
    known = {}
    for label, table in tables.items():
        where = f'repositories."{label}"'
        try:
            name = repository_name(label)
        except InvalidValue as error:
            raise FormatError(what=str(path), field=where, problem="is no repository name", hint=error.hint) from error
        settings = converted(table, _Table, path, where)
        for key, value in (("servers", settings.servers), ("keys", settings.keys)):
            if not value:
                raise _wrong(path, f"{where}.{key}", "is empty")
        network = _network(settings.network, path, f"{where}.network").over(DEFAULT_NETWORK)
        known[label] = KnownRepository(
            name=name,
            servers=tuple(_filled_in(server, name) for server in settings.servers),
            keys=tuple(_located(key, path) for key in settings.keys),
            external_servers=tuple(_filled_in(server, name) for server in settings.external_servers),
            network=network,
            external_network=network,
            source=str(path),
        )
    return known


def _network(table: Mapping[str, object], path: Path, where: str) -> NetworkChoice:
    given = converted(table, _Network, path, where)
    return NetworkChoice(
        proxies=_proxies(given.proxies, path, f"{where}.proxies"),
        fallback_proxies=_proxies(given.fallback_proxies, path, f"{where}.fallback_proxies"),
        order=None if given.order is None else ServerOrder(given.order),
        timeout=given.timeout,
        timeout_direct=given.timeout_direct,
        low_speed_bytes=given.low_speed_bytes,
        retries=given.retries,
        backoff_initial=given.backoff_initial,
        backoff_maximum=given.backoff_maximum,
        proxy_reset_after=given.proxy_reset_after,
        host_reset_after=given.host_reset_after,
        follow_redirects=given.follow_redirects,
        parallel=given.parallel,
        maximum_servers=given.maximum_servers,
    )


def _proxies(text: str | None, path: Path, where: str) -> ProxyGroups | None:
    if not text:
        return None if text is None else ()
    try:
        return parse_proxies(text, where).groups
    except InvalidValue as error:
        raise FormatError(
            what=str(path), field=where, problem=f"is wrong: {error}", hint=f"{_EDIT.format(path)}: {error.hint}"
        ) from error


def _size(given: int | str, path: Path, where: str) -> int:
    """Bytes: a number, or one with a unit (`20 GB`, `20 GiB`)."""
    match = _SIZE.fullmatch(str(given).strip())
    if match is None:
        raise _wrong(path, where, f"is no size such as 20 GB: {given!r}")
    base = 1024 if match[3] else 1000
    return int(float(match[1]) * base ** _POWERS[match[2].lower()])


def _source(source: str, path: Path) -> str:
    if source in (CONFIGURED, OWNED):
        return source
    if not source.startswith(("/", "~", ".")):
        raise _wrong(path, "configuration.sources", f"names {source!r}: neither a path nor `{CONFIGURED}`, `{OWNED}`")
    return str(_located(source, path))


def _located(given: str, path: Path) -> Path:
    try:
        return path.parent / Path(given).expanduser()
    except RuntimeError as error:
        raise InvalidValue(
            what=f"{given} in {path}", problem="is in a home directory that nobody knows", hint="write the whole path"
        ) from error


def read_document(path: Path) -> dict[str, object]:
    """The TOML document at `path`; an empty one where there is none that this user may read."""
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        # Also in somebody else's home, as after `su` or in a batch job: what is named on the command line is enough.
        return {}
    except OSError as error:
        raise storage_error(error) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise _wrong(path, "the TOML text", f"cannot be read ({error})") from error


def converted(value: object, kind: type[Table], path: Path, where: str) -> Table:
    """`value` as the table `kind`; FormatError names `path` and `where`, and which fields there are."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        known = ", ".join(kind.__struct_fields__)
        hint = f"{_EDIT.format(path)}; the fields there are {known}"
        raise FormatError(what=str(path), field=where, problem=f"is wrong: {error}", hint=hint) from error


def _wrong(path: Path, where: str, problem: str) -> FormatError:
    return FormatError(what=str(path), field=where, problem=problem, hint=_EDIT.format(path))


def _filled_in(template: str, name: RepositoryName) -> str:
    return template.replace("@fqrn@", name).replace("@org@", name.split(".")[0])
