"""The record that the owner of a repository keeps of it: `FQRN.toml` in the data directory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import msgspec

from outcrop.cvmfs.chunking import ChunkLimits
from outcrop.cvmfs.digest import Algorithm
from outcrop.cvmfs.manifest import DEFAULT_TTL_SECONDS
from outcrop.cvmfs.names import RepositoryName, repository_name
from outcrop.errors import FormatError, NotFound, storage_error
from outcrop.storage.places import located_address, recorded_address
from outcrop.stratum0.catalogs.catalog_limits import DEFAULT_MAXIMUM_ENTRIES, DEFAULT_MINIMUM_ENTRIES, CatalogLimits
from outcrop.stratum0.collection.retention import DEFAULT_KEEP_DAYS
from outcrop.stratum0.publishing.compressors import DEFAULT_COMPRESSOR, compressor_names
from outcrop.whole_file import write_whole_file

DEFAULT_LIMITS = ChunkLimits()


class RepositorySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a repository is published. Sizes are in bytes, times in seconds.

    `storage` is where `.cvmfspublished` lies: a directory, or an address on S3 (`outcrop.storage.places`). A record may
    name a directory by its way from the record, which holds when both are moved or copied together; here its path is
    absolute. Another `compressor` makes other objects of the same contents, so it is chosen once.
    `master_key` is the PKCS#11 URI of a key on a token; empty for the file FQRN.masterkey. `pkcs11_module` is the
    library that speaks to the token; empty to look for it.
    """

    name: str
    storage: str
    hash: str = Algorithm.SHA1.label
    compressor: str = DEFAULT_COMPRESSOR
    ttl: int = DEFAULT_TTL_SECONDS
    auto_tag: bool = True
    garbage_collectable: bool = True
    gc_keep_days: Annotated[int, msgspec.Meta(ge=0)] = DEFAULT_KEEP_DAYS
    extended_attributes: bool = True
    master_key: str = ""
    pkcs11_module: str = ""
    minimum_chunk_size: int = DEFAULT_LIMITS.minimum
    average_chunk_size: int = DEFAULT_LIMITS.average
    maximum_chunk_size: int = DEFAULT_LIMITS.maximum
    automatic_catalogs: bool = True
    maximum_catalog_entries: int = DEFAULT_MAXIMUM_ENTRIES
    minimum_catalog_entries: int = DEFAULT_MINIMUM_ENTRIES

    @property
    def repository(self) -> RepositoryName:
        return RepositoryName(self.name)

    @property
    def algorithm(self) -> Algorithm:
        return Algorithm.from_label(self.hash)

    @property
    def chunk_limits(self) -> ChunkLimits:
        return ChunkLimits(self.minimum_chunk_size, self.average_chunk_size, self.maximum_chunk_size)

    @property
    def catalog_limits(self) -> CatalogLimits | None:
        """When catalogs are split and merged by size; None where only markers and rules say so."""
        limits = CatalogLimits(self.maximum_catalog_entries, self.minimum_catalog_entries)
        return limits if self.automatic_catalogs else None

    def encode(self) -> str:
        """The record as TOML."""
        lines = [f"{name} = {json.dumps(value)}" for name, value in msgspec.structs.asdict(self).items()]
        return "\n".join(["# How Outcrop publishes this repository.", *lines, ""])

    @classmethod
    def parse(cls, text: bytes, what: str) -> RepositorySettings:
        """The settings in a record; FormatError names what is wrong."""
        try:
            settings = msgspec.toml.decode(text, type=cls)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise FormatError(what=what, field="a setting", problem=f"is not valid: {error}") from error
        repository_name(settings.name)
        if settings.compressor not in compressor_names():
            raise FormatError(what=what, field="compressor", problem=f"is none of {', '.join(compressor_names())}")
        if settings.hash not in [algorithm.label for algorithm in Algorithm]:
            raise FormatError(what=what, field="hash", problem="is none of sha1, rmd160 and shake128")
        _ = settings.chunk_limits, settings.catalog_limits  # which check themselves
        return settings


def record_path(data_directory: Path, name: RepositoryName) -> Path:
    """Where the record of the repository `name` lies."""
    return data_directory / f"{name}.toml"


def load_settings(data_directory: Path, name: RepositoryName) -> RepositorySettings:
    """The settings of an owned repository; NotFound, with the names of those there are, otherwise."""
    path = record_path(data_directory, name)
    try:
        settings = RepositorySettings.parse(path.read_bytes(), str(path))
        return msgspec.structs.replace(settings, storage=located_address(settings.storage, path.parent))
    except FileNotFoundError as error:
        owned = ", ".join(owned_repositories(data_directory))
        raise NotFound(
            what=f"the repository {name} of your own",
            hint=f"your repositories are: {owned}" if owned else f"`outcrop repo create {name}` makes it",
        ) from error
    except OSError as error:
        raise storage_error(error, str(path)) from error


def save_settings(data_directory: Path, settings: RepositorySettings) -> None:
    """Writes the record, whole or not at all."""
    path = record_path(data_directory, settings.repository)
    storage = recorded_address(settings.storage, path.parent)
    write_whole_file(path, msgspec.structs.replace(settings, storage=storage).encode().encode())


def owned_repositories(data_directory: Path) -> list[RepositoryName]:
    """The names of all repositories with a record, sorted."""
    try:
        return sorted(RepositoryName(path.stem) for path in data_directory.glob("*.toml") if "." in path.stem)
    except OSError as error:
        raise storage_error(error) from error
