"""What the settings of a stock client mean for a reader: values in, one value out, and sentences on what is amiss.

A value that cannot be used is told of and left at its default, since the same file serves stock clients, which take
almost anything. Sizes are in bytes, times in seconds.

Sources: mountpoint.cc and default.conf of CernVM-FS 2.12.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from outcrop.client.known_repository import NOT_PINNED, KnownRepository, RevisionPin
from outcrop.client.network.proxies import ProxyGroups, parse_proxies
from outcrop.client.network.settings import DEFAULT_NETWORK, NetworkSettings, ServerOrder
from outcrop.client.owners import AS_PUBLISHED, OwnerMap, Ownership, parse_owner_map
from outcrop.cvmfs.client_configuration import Evaluated, is_on, is_switch, listed
from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.names import RepositoryName
from outcrop.errors import FormatError, InvalidValue

MEGABYTE = 1024 * 1024
"""The unit of `CVMFS_QUOTA_LIMIT`."""
DEFAULT_KEYS = "/etc/cvmfs/keys"
DEFAULT_BLACKLIST = "/etc/cvmfs/blacklist"
UNLIMITED = 0
"""A cache limit that is none."""

_MOMENT = "%Y-%m-%dT%H:%M:%SZ"
_NUMBER = re.compile(r"[0-9]{1,18}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class StockCache:
    """Where a stock client keeps objects. `directory` is its own and managed by it alone, `alien` may be shared.

    `limit` is in bytes, `UNLIMITED` for none."""

    directory: Path | None = None
    alien: Path | None = None
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class ClientConfiguration:
    """What stock configuration files say of one repository. `evaluated` has every setting with its origin; those that
    `refused` names cannot be used, so that a default stands."""

    repository: RepositoryName
    servers: tuple[str, ...]
    keys: tuple[Path, ...]
    external_servers: tuple[str, ...] = ()
    network: NetworkSettings = DEFAULT_NETWORK
    external_network: NetworkSettings = DEFAULT_NETWORK
    cache: StockCache = StockCache()
    pin: RevisionPin = NOT_PINNED
    blacklists: tuple[Path, ...] = ()
    ownership: Ownership = AS_PUBLISHED
    strict_mount: bool = False
    repositories: tuple[str, ...] = ()
    configuration_repository: str = ""
    evaluated: Evaluated = field(default_factory=lambda: Evaluated({}))
    refused: frozenset[str] = frozenset()
    warnings: tuple[str, ...] = ()

    @property
    def may_be_mounted(self) -> bool:
        """Whether the site lets this repository be mounted: `CVMFS_STRICT_MOUNT` wants it in `CVMFS_REPOSITORIES`."""
        listed_names = (*self.repositories, self.configuration_repository)
        return not self.strict_mount or self.repository in listed_names

    def known(self, source: str) -> KnownRepository:
        """The same as a repository that is known by its name; `source` says where from."""
        return KnownRepository(
            name=self.repository,
            servers=self.servers,
            keys=self.keys,
            external_servers=self.external_servers,
            network=self.network,
            external_network=self.external_network,
            cache_limit=self.cache.limit,
            cache_directory=self.cache.alien,
            pin=self.pin,
            blacklists=self.blacklists,
            ownership=self.ownership,
            may_be_mounted=self.may_be_mounted,
            variables={name: setting.value for name, setting in self.evaluated.settings.items()},
            source=source,
            settings=self.evaluated.settings,
            refused=self.refused,
        )


def full_name(text: str, evaluated: Evaluated) -> str:
    """`text` as a full repository name: one without a dot is in `CVMFS_DEFAULT_DOMAIN`."""
    domain = evaluated.value("CVMFS_DEFAULT_DOMAIN")
    return f"{text}.{domain}" if domain and "." not in text else text


def client_configuration(
    repository: RepositoryName,
    evaluated: Evaluated,
    place: Callable[[str], Path],
    read: Callable[[str], bytes | None],
) -> ClientConfiguration:
    """What `evaluated` means for `repository`. `place` says where a path of the files really is, `read` reads there."""
    return _Meaning(repository, evaluated, place, read).configuration()


@dataclass
class _Meaning:
    repository: RepositoryName
    evaluated: Evaluated
    place: Callable[[str], Path]
    read: Callable[[str], bytes | None]
    warnings: list[str] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)

    def configuration(self) -> ClientConfiguration:
        value = self.evaluated.value
        network = self._network()
        repositories = tuple(full_name(one, self.evaluated) for one in listed(value("CVMFS_REPOSITORIES"), ","))
        found = ClientConfiguration(
            repository=self.repository,
            servers=self._servers("CVMFS_SERVER_URL"),
            keys=self._keys(),
            external_servers=self._servers("CVMFS_EXTERNAL_URL"),
            network=network,
            external_network=self._external_network(network),
            cache=self._cache(),
            pin=self._pin(),
            blacklists=self._blacklists(),
            ownership=Ownership(
                claimed=self._is_on("CVMFS_CLAIM_OWNERSHIP"),
                users=self._owner_map("CVMFS_UID_MAP"),
                groups=self._owner_map("CVMFS_GID_MAP"),
            ),
            strict_mount=self._is_on("CVMFS_STRICT_MOUNT"),
            repositories=repositories,
            configuration_repository=value("CVMFS_CONFIG_REPOSITORY"),
            evaluated=self.evaluated,
        )
        # What is amiss is known when everything has been read.
        return replace(
            found,
            refused=frozenset(self.refused),
            warnings=tuple(dict.fromkeys((*self.evaluated.warnings, *self.warnings))),
        )

    def _tell(self, name: str, problem: str) -> None:
        setting = self.evaluated.settings.get(name)
        where = f"{setting.origin}: " if setting else ""
        self.warnings.append(f"{where}{name} {problem}")

    def _refuse(self, name: str, problem: str) -> None:
        """Tells that the value of `name` is left at its default."""
        self.refused.add(name)
        self._tell(name, problem)

    def _servers(self, name: str) -> tuple[str, ...]:
        found: list[str] = []
        for server in listed(self.evaluated.value(name), ";"):
            if _CONTROL.search(server):
                self._tell(name, f"names {server!r}, which has a control character in it")
            elif server not in found:
                found.append(server)
        return tuple(found)

    def _keys(self) -> tuple[Path, ...]:
        named = listed(self.evaluated.value("CVMFS_PUBLIC_KEY"), ":")
        if named:
            return tuple(self.place(one) for one in named)
        return (self.place(self.evaluated.value("CVMFS_KEYS_DIR", DEFAULT_KEYS)),)

    def _network(self) -> NetworkSettings:
        default = DEFAULT_NETWORK
        redirects = self._is_on("CVMFS_FOLLOW_REDIRECTS", default=default.follow_redirects)
        return NetworkSettings(
            proxies=self._proxies("CVMFS_HTTP_PROXY"),
            fallback_proxies=self._proxies("CVMFS_FALLBACK_PROXY"),
            order=ServerOrder.GEOGRAPHIC if self._is_on("CVMFS_USE_GEOAPI") else ServerOrder.AS_GIVEN,
            timeout=self._seconds("CVMFS_TIMEOUT", default.timeout),
            timeout_direct=self._seconds("CVMFS_TIMEOUT_DIRECT", default.timeout_direct),
            low_speed_bytes=self._number("CVMFS_LOW_SPEED_LIMIT", default.low_speed_bytes),
            retries=self._number("CVMFS_MAX_RETRIES", default.retries),
            backoff_initial=float(self._number("CVMFS_BACKOFF_INIT", int(default.backoff_initial))),
            backoff_maximum=float(self._number("CVMFS_BACKOFF_MAX", int(default.backoff_maximum))),
            proxy_reset_after=float(self._number("CVMFS_PROXY_RESET_AFTER", int(default.proxy_reset_after))),
            host_reset_after=float(self._number("CVMFS_HOST_RESET_AFTER", int(default.host_reset_after))),
            follow_redirects=redirects,
            parallel=default.parallel,
            maximum_servers=self._number("CVMFS_MAX_SERVERS", default.maximum_servers),
        )

    def _external_network(self, network: NetworkSettings) -> NetworkSettings:
        """External files have proxies of their own, none unless they are named, and the rest from `network`."""
        return NetworkSettings(
            proxies=self._proxies("CVMFS_EXTERNAL_HTTP_PROXY") or (("DIRECT",),),
            fallback_proxies=self._proxies("CVMFS_EXTERNAL_FALLBACK_PROXY"),
            order=network.order,
            timeout=self._seconds("CVMFS_EXTERNAL_TIMEOUT", network.timeout),
            timeout_direct=self._seconds("CVMFS_EXTERNAL_TIMEOUT_DIRECT", network.timeout_direct),
            low_speed_bytes=network.low_speed_bytes,
            retries=network.retries,
            backoff_initial=network.backoff_initial,
            backoff_maximum=network.backoff_maximum,
            proxy_reset_after=network.proxy_reset_after,
            host_reset_after=network.host_reset_after,
            follow_redirects=network.follow_redirects,
            parallel=network.parallel,
            maximum_servers=self._number("CVMFS_EXTERNAL_MAX_SERVERS", DEFAULT_NETWORK.maximum_servers),
        )

    def _proxies(self, name: str) -> ProxyGroups:
        text = self.evaluated.value(name)
        if not text:
            return ()
        try:
            found = parse_proxies(text, name)
        except InvalidValue as error:
            self._refuse(name, f"is not used: {error} ({error.hint})")
            return ()
        self.warnings += found.notes
        return found.groups

    def _cache(self) -> StockCache:
        value = self.evaluated.value
        shared = "shared" if self._is_on("CVMFS_SHARED_CACHE") else self.repository
        base, directory = value("CVMFS_CACHE_BASE"), value("CVMFS_CACHE_DIR")
        alien = value("CVMFS_CACHE_ALIEN", value("CVMFS_ALIEN_CACHE"))
        own = directory or (f"{base}/{shared}" if base else "")
        return StockCache(
            directory=Path(own) if own else None, alien=Path(alien) if alien else None, limit=self._limit()
        )

    def _limit(self) -> int | None:
        name = "CVMFS_CACHE_QUOTA_LIMIT" if self.evaluated.value("CVMFS_CACHE_QUOTA_LIMIT") else "CVMFS_QUOTA_LIMIT"
        if self.evaluated.value(name).startswith("-"):
            return UNLIMITED
        megabytes = self._number(name, -1)
        return None if megabytes < 0 else megabytes * MEGABYTE

    def _pin(self) -> RevisionPin:
        """The root catalog, or the tag, or the day: the first that is set, as in the reference."""
        value = self.evaluated.value
        root, tag, moment = value("CVMFS_ROOT_HASH"), value("CVMFS_REPOSITORY_TAG"), value("CVMFS_REPOSITORY_DATE")
        if root:
            try:
                return RevisionPin(root_catalog=Digest.parse(root, what="CVMFS_ROOT_HASH"))
            except FormatError:
                self._refuse("CVMFS_ROOT_HASH", f"is no digest: {root!r}")
        if tag:
            return RevisionPin(tag=tag)
        if moment:
            try:
                return RevisionPin(moment=datetime.strptime(moment, _MOMENT).replace(tzinfo=UTC))
            except ValueError:
                self._refuse("CVMFS_REPOSITORY_DATE", f"is no moment such as 2026-11-21T12:00:00Z: {moment!r}")
        return NOT_PINNED

    def _blacklists(self) -> tuple[Path, ...]:
        """The site's, and the one of the configuration repository; those that exist."""
        value = self.evaluated.value
        named = [value("CVMFS_BLACKLIST", DEFAULT_BLACKLIST)]
        extra = value("CVMFS_CONFIG_REPOSITORY")
        if extra and extra != self.repository:
            named.append(f"{value('CVMFS_MOUNT_DIR', '/cvmfs')}/{extra}{DEFAULT_BLACKLIST}")
        return tuple(self.place(one) for one in named if self.read(one) is not None)

    def _owner_map(self, name: str) -> OwnerMap | None:
        path = self.evaluated.value(name)
        if not path:
            return None
        data = self.read(path)
        if data is None:
            self._refuse(name, f"names {path}, which cannot be read")
            return None
        try:
            return parse_owner_map(data.decode("utf-8", "replace"), path)
        except FormatError as error:
            self._refuse(name, f"is not used: {error}")
            return None

    def _is_on(self, name: str, *, default: bool = False) -> bool:
        value = self.evaluated.value(name)
        if value and not is_switch(value):
            self._tell(name, f"is neither yes nor no, so it counts as no: {value!r}")
        return is_on(value) if value else default

    def _number(self, name: str, default: int) -> int:
        value = self.evaluated.value(name)
        if not value:
            return default
        if not _NUMBER.fullmatch(value):
            self._refuse(name, f"is no number, so it is not used: {value!r}")
            return default
        return int(value)

    def _seconds(self, name: str, default: float) -> float:
        """A time after which something is given up: never none at all."""
        seconds = self._number(name, 0)
        if not seconds and self.evaluated.value(name):
            self.refused.add(name)
        return float(seconds) if seconds else default
