"""Layers of metadata in the cache directory, made once for a revision and used by every command after that.

    <cache directory>/layers/<name>/<root hash>-<trusted|user>-<n>.layer     the image, or what is to be planted
    <cache directory>/layers/<name>/<root hash>-<trusted|user>-<n>.needed    which files it needs
    <cache directory>/layers/<name>/<root hash>-<trusted|user>-<n>.json      what it is, and the digests of both

Variant links are filled in, so a layer holds for the values of the variables that its links name. Each use compares the
digests, and what has changed is made anew. The newest few of a repository are kept. Of many processes that want the
same one, one makes it and the others wait.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from outcrop.client.ladder.copies import check_private
from outcrop.client.ladder.turns import one_at_a_time
from outcrop.client.layers.erofs_image import erofs_image
from outcrop.client.layers.metadata import AttributeSpace, Metadata
from outcrop.client.layers.objects import Needed
from outcrop.client.layers.parting import parted
from outcrop.client.layers.revision_metadata import AskedVariables, revision_metadata, too_many
from outcrop.client.mount.owners import Owners
from outcrop.client.mount.repository_tree import owners_for
from outcrop.client.owners import AS_PUBLISHED, Ownership
from outcrop.client.repository import OpenRepository
from outcrop.cvmfs.names import RepositoryName
from outcrop.cvmfs.paths import ROOT
from outcrop.errors import StorageError, storage_error

LAYERS_NAME = "layers"
KEPT_LAYERS = 4
"""Layers of one repository that are kept: the revisions that running jobs may still begin with, for 80 MB at 80,000
entries each."""

_YOUNG_SECONDS = 3600
"""A layer that was used so recently may be about to be mounted."""

_FORM = 1
"""Raised when layers come out differently, so that earlier ones are not used."""

_PRIVATE = 0o700
_DIGEST_BYTES = 32


class _Record(msgspec.Struct, frozen=True):
    """What a layer is. `variables` are what its links were filled in from, hexadecimal; None for one that was not
    set. `owners` is a digest of the rules by which owners were changed, empty where they were not."""

    form: int
    root_catalog: str
    owners: str
    variables: dict[str, str | None]
    layer: str
    needed: str


class _Needed(msgspec.Struct, frozen=True):
    """What stands in a `.needed` file."""

    files: Needed
    rest: Metadata | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a layer must fit: where overlayfs keeps its attributes, what links are filled in from, to whom entries
    belong here."""

    space: AttributeSpace
    variables: Mapping[bytes, bytes]
    ownership: Ownership = AS_PUBLISHED

    @property
    def owners(self) -> Owners:
        """To whom entries belong."""
        return owners_for(self.ownership)

    @property
    def owners_digest(self) -> str:
        """Tells rules for owners from all others; empty where owners stay as they are."""
        rules = self.ownership.for_reader(os.geteuid(), os.getegid())
        return "" if rules.change_nothing else _digest(repr(rules).encode())


@dataclass(frozen=True, slots=True)
class KeptLayer:
    """A layer of metadata in the file `path`, whose bytes have the digest `digest`, the files that it needs, and the
    entries that cannot be planted (None where there are none)."""

    path: Path
    digest: str
    needed: Needed
    rest: Metadata | None = None


@dataclass(frozen=True, slots=True)
class KeptLayers:
    """The layers below `directory`."""

    directory: Path

    @classmethod
    def below(cls, base: Path) -> KeptLayers | None:
        """Those in the directory `base`: under the usual name, or under one for this user where the usual one is
        somebody else's. None where neither is ours alone."""
        for name in (LAYERS_NAME, f"{LAYERS_NAME}-{os.geteuid()}"):
            with suppress(StorageError):
                check_private(base / name)
                return cls(base / name)
        return None

    def find(self, name: RepositoryName, root_catalog: str, wanted: Wanted) -> KeptLayer | None:
        """The layer of a revision if it is here and unchanged. StorageError where others may write to the directory."""
        check_private(self.directory)
        for sidecar in sorted((self.directory / name).glob(f"{_stem(root_catalog, wanted.space)}-*.json")):
            record = _read(sidecar)
            found = None if record is None or not _fits(record, root_catalog, wanted) else _sound(sidecar, record)
            if found is not None:
                with suppress(OSError):
                    os.utime(sidecar)
                return found
        return None

    def make(self, repository: OpenRepository, wanted: Wanted, maximum_entries: int) -> KeptLayer:
        """The layer of the revision that `repository` shows, made if it is not here.

        MissingCapability for more than `maximum_entries`, and for what such a layer cannot hold; StorageError where
        there is no room; else as reading the repository raises."""
        root_catalog = repository.root.digest.text
        directory = self.directory / repository.name
        try:
            self.directory.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
            check_private(self.directory)
            directory.mkdir(mode=_PRIVATE, exist_ok=True)
        except OSError as error:
            raise storage_error(error) from error
        stem = _stem(root_catalog, wanted.space)
        with one_at_a_time(directory / f"{stem}.lock"):
            found = self.find(repository.name, root_catalog, wanted)
            if found is not None:
                return found
            _check_size(repository, maximum_entries)
            asked = AskedVariables(wanted.variables)
            revision = revision_metadata(repository.tree, asked, maximum_entries, wanted.owners)
            layer, rest = _encoded(revision.metadata, wanted.space)
            needed = msgspec.msgpack.encode(_Needed(revision.needed, rest))
            known = {key.hex(): _hexadecimal(value) for key, value in asked.asked.items()}
            record = _Record(_FORM, root_catalog, wanted.owners_digest, known, _digest(layer), _digest(needed))
            number = 1
            while (directory / f"{stem}-{number}.json").exists():
                number += 1
            sidecar = directory / f"{stem}-{number}.json"
            _write(sidecar.with_suffix(".layer"), layer)
            _write(sidecar.with_suffix(".needed"), needed)
            _write(sidecar, msgspec.json.format(msgspec.json.encode(record)) + b"\n")
            _remove_old(directory, sidecar)
            return KeptLayer(sidecar.with_suffix(".layer"), record.layer, revision.needed, rest)


def read_planting(path: Path, digest: str) -> Metadata:
    """What is to be planted, from the file `path`. StorageError if that is not what has this `digest`."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise storage_error(error) from error
    if _digest(data) != digest:
        raise storage_error(OSError(0, "it has changed"), str(path))
    return msgspec.msgpack.decode(data, type=Metadata)


def _encoded(metadata: Metadata, space: AttributeSpace) -> tuple[bytes, Metadata | None]:
    """The file of a layer, and what it leaves to another one."""
    if space is AttributeSpace.TRUSTED:
        return erofs_image(metadata, space), None
    planted, rest = parted(metadata)
    return msgspec.msgpack.encode(planted), rest


def _check_size(repository: OpenRepository, maximum: int) -> None:
    """Refuses what is too large by what the root catalog says of itself, before all catalogs are fetched."""
    catalog = repository.tree.catalog_at(ROOT)
    try:
        entries = catalog.counters.total.entries
    finally:
        catalog.close()
    if entries > maximum:
        raise too_many(repository.tree, maximum)


def _fits(record: _Record, root_catalog: str, wanted: Wanted) -> bool:
    return (record.form, record.root_catalog, record.owners) == (_FORM, root_catalog, wanted.owners_digest) and all(
        _hexadecimal(wanted.variables.get(bytes.fromhex(key))) == value for key, value in record.variables.items()
    )


def _sound(sidecar: Path, record: _Record) -> KeptLayer | None:
    path = sidecar.with_suffix(".layer")
    try:
        needed = sidecar.with_suffix(".needed").read_bytes()
        with open(path, "rb") as file:
            layer = hashlib.file_digest(file, _hasher).hexdigest()
    except OSError:
        return None
    known = None
    if (layer, _digest(needed)) == (record.layer, record.needed):
        with suppress(msgspec.MsgspecError):
            known = msgspec.msgpack.decode(needed, type=_Needed)
    if known is None:
        # A crash, a disk that rots, another release of outcrop: it is made anew.
        _remove(sidecar)
        return None
    return KeptLayer(path, layer, known.files, known.rest)


def _remove_old(directory: Path, made: Path) -> None:
    ages = {sidecar: _age(sidecar) for sidecar in directory.glob("*.json") if sidecar != made}
    for sidecar in sorted(ages, key=lambda one: ages[one])[KEPT_LAYERS - 1 :]:
        if ages[sidecar] > _YOUNG_SECONDS:
            _remove(sidecar)


def _age(sidecar: Path) -> float:
    try:
        return time.time() - sidecar.stat().st_mtime
    except OSError:
        return 0.0


def _remove(sidecar: Path) -> None:
    for suffix in (".json", ".layer", ".needed"):
        with suppress(OSError):
            sidecar.with_suffix(suffix).unlink()


def _read(sidecar: Path) -> _Record | None:
    """What `sidecar` says; None where that is not what we write there."""
    try:
        return msgspec.json.decode(sidecar.read_bytes(), type=_Record)
    except (OSError, msgspec.DecodeError):
        return None


def _write(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise storage_error(error, str(path)) from error


def _stem(root_catalog: str, space: AttributeSpace) -> str:
    return f"{root_catalog}-{space.name.lower()}"


def _hasher() -> hashlib.blake2b:
    return hashlib.blake2b(digest_size=_DIGEST_BYTES)


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=_DIGEST_BYTES).hexdigest()


def _hexadecimal(value: bytes | None) -> str | None:
    """Bytes as a document can hold them, whatever they are."""
    return None if value is None else value.hex()
