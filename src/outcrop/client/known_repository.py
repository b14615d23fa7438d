"""What is known of repositories that can be read by their names alone, and who knows it.

Several sources are asked in order. The first that knows a name is believed for all of it: sources are never mixed for
one repository. What the user wants for every repository goes on top.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from pathlib import Path
from typing import Protocol

from outcrop.client.network.settings import DEFAULT_NETWORK, NetworkSettings, ServerOrder
from outcrop.client.owners import AS_PUBLISHED, Ownership
from outcrop.cvmfs.client_configuration import Settings
from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.names import RepositoryName


@dataclass(frozen=True, slots=True)
class RevisionPin:
    """The revision that a site wants read: a root catalog, a tag, or the one of a moment. At most one is set."""

    tag: str = ""
    moment: datetime | None = None
    root_catalog: Digest | None = None


NOT_PINNED = RevisionPin()


@dataclass(frozen=True, slots=True)
class RepositoryAddress:
    """A repository to read: the name it must have, its servers in order, what proves it, servers of external files.

    A server is a URL or a directory. How servers are reached is in `network`, those of external files in
    `external_network`. `cache_directory` is the directory of objects to use (None for the user's own), `cache_limit`
    its size in bytes (0 for no limit, None where nothing is said). `pin` is the revision that the site wants read where
    nobody asks for another, `blacklists` are files with what must not be believed. A mount shows owners by `ownership`,
    and the site may not want one (`may_be_mounted`). `variables` fill in variant links where the environment does not
    (`link_variables`)."""

    name: RepositoryName
    servers: tuple[str, ...]
    keys: tuple[Path, ...]
    external_servers: tuple[str, ...] = ()
    network: NetworkSettings = DEFAULT_NETWORK
    external_network: NetworkSettings = DEFAULT_NETWORK
    cache_limit: int | None = None
    cache_directory: Path | None = None
    pin: RevisionPin = NOT_PINNED
    blacklists: tuple[Path, ...] = ()
    ownership: Ownership = AS_PUBLISHED
    may_be_mounted: bool = True
    variables: Mapping[str, str] = field(default_factory=dict, hash=False, repr=False)


def link_variables(address: RepositoryAddress, environment: Mapping[str, str] = os.environ) -> dict[bytes, bytes]:
    """What variant links of the repository at `address` are filled in from: the `environment` and, for what it lacks,
    what the configuration says."""
    # The reference client has it the other way round, for one daemon for all users. Here a user may say it for himself.
    return {os.fsencode(name): os.fsencode(value) for name, value in {**address.variables, **environment}.items()}


@dataclass(frozen=True, slots=True)
class KnownRepository(RepositoryAddress):
    """The address of a repository with a name, and who says so: `source` is the file or directory that all this comes
    from, `settings` what stock configuration files say in their own words. `refused` names those of them that cannot be
    used, so that a default stands."""

    source: str = ""
    settings: Settings = field(default_factory=dict, hash=False, repr=False)
    refused: frozenset[str] = frozenset()

    @property
    def address(self) -> RepositoryAddress:
        """All that a reader needs: the same, whoever says so."""
        return RepositoryAddress(**{one.name: getattr(self, one.name) for one in fields(RepositoryAddress)})


@dataclass(frozen=True, slots=True)
class NetworkChoice:
    """What is to be different from other network settings; None leaves a field as it is."""

    proxies: tuple[tuple[str, ...], ...] | None = None
    fallback_proxies: tuple[tuple[str, ...], ...] | None = None
    order: ServerOrder | None = None
    timeout: float | None = None
    timeout_direct: float | None = None
    low_speed_bytes: int | None = None
    retries: int | None = None
    backoff_initial: float | None = None
    backoff_maximum: float | None = None
    proxy_reset_after: float | None = None
    host_reset_after: float | None = None
    follow_redirects: bool | None = None
    parallel: int | None = None
    maximum_servers: int | None = None

    def over(self, base: NetworkSettings) -> NetworkSettings:
        """`base` with this choice."""
        chosen = {one.name: getattr(self, one.name) for one in fields(self) if getattr(self, one.name) is not None}
        return replace(base, **chosen) if chosen else base


@dataclass(frozen=True, slots=True)
class ClientChoice:
    """What the user wants for every repository, whatever its source says; `source` is the file that says so.
    `variables` come before the source's."""

    source: str = ""
    network: NetworkChoice = NetworkChoice()
    cache_directory: Path | None = None
    cache_limit: int | None = None
    uses_stock_cache: bool = True
    """Whether the cache directory of a source is used, where this names none."""

    variables: Mapping[str, str] = field(default_factory=dict, hash=False)

    def over(self, known: KnownRepository) -> KnownRepository:
        """`known` with this choice."""
        return replace(
            known,
            network=self.network.over(known.network),
            external_network=self.network.over(known.external_network),
            cache_directory=self.cache_directory or (known.cache_directory if self.uses_stock_cache else None),
            cache_limit=known.cache_limit if self.cache_limit is None else self.cache_limit,
            variables={**known.variables, **self.variables},
        )


NO_CHOICE = ClientChoice()


class RepositorySource(Protocol):
    """Something that knows repositories by their names."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names that it can list; it may know others as well."""

    @property
    def domains(self) -> tuple[str, ...]:
        """The domains in which it knows repositories that it cannot list."""

    def find(self, name: str) -> KnownRepository | None:
        """What it knows of `name`, None if nothing."""

    def source(self, name: str) -> str:
        """The file or directory that the listed `name` comes from."""


@dataclass(frozen=True, slots=True)
class ListedRepository:
    """A repository that a source lists, or a domain of repositories (`is_domain`)."""

    name: str
    source: str
    is_domain: bool = False


@dataclass(frozen=True, slots=True)
class KnownRepositories:
    """All repositories with a name: those in `by_name`, then those of `sources` in order. `choice` goes on top."""

    by_name: Mapping[str, KnownRepository] = field(default_factory=dict)
    sources: tuple[RepositorySource, ...] = ()
    choice: ClientChoice = NO_CHOICE

    def find(self, name: str) -> KnownRepository | None:
        """What is known of `name`; None where no source knows it."""
        found = self.by_name.get(name)
        for source in self.sources:
            if found is not None:
                break
            found = source.find(name)
        return None if found is None else self.choice.over(found)

    def listing(self) -> tuple[ListedRepository, ...]:
        """What the sources list, each name once, with the source that is believed for it; domains come last."""
        found: dict[str, ListedRepository] = {}
        for name, known in self.by_name.items():
            found[name] = ListedRepository(name, known.source)
        domains: dict[str, ListedRepository] = {}
        for source in self.sources:
            for name in source.names:
                found.setdefault(name, ListedRepository(name, source.source(name)))
            for domain in source.domains:
                domains.setdefault(domain, ListedRepository(domain, source.source(domain), is_domain=True))
        return (*(found[name] for name in sorted(found)), *(domains[name] for name in sorted(domains)))

    @property
    def names(self) -> tuple[str, ...]:
        listed = (source.names for source in self.sources)
        return tuple(sorted({*self.by_name, *(name for names in listed for name in names)}))
