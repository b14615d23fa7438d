"""What a layer keeps of how it was made: `reprod/<UTC time>/`, as EESSI's installations have it.

layer.json        which layer it is: repository, version, family, and so its prefix; its digest; who built it, and why
changelog.txt     the same for people, with what is new against the layer before
plan.txt          every package, with its version and why it is there
lock.json         the packages, by digest
sets.json         the sets and declarations that the lock was resolved from
relocation.json   what was changed in which file, and which paths could not be
tools.json        the programs that built it, with versions
files.sha256      the digest of every file, as `sha256sum` reads it
packages.txt      the package that each file is from
redirections.json the links that a site can redirect, of the layer, and of its repository
left-out.txt      the files of packages that the layer leaves out, by rule
build.log         what was done when

Gentoo Prefix has no plan.txt and no packages.txt; it adds its script and installed.txt, the list of what it installed.

What decides where a layer goes, and what it may replace, is in its digest: redirections.json, lock.json, and of
layer.json which layer it is. Nothing else is. Only what its builder says of themselves is in a record: no account, no
machine's name.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import stat
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from types import MappingProxyType

import msgspec

from outcrop.compat.catalog_markers import is_publishers
from outcrop.compat.changelog import (
    CHANGELOG_FILE,
    UNTOLD,
    EarlierLayer,
    LayerContents,
    Occasion,
    PackageChange,
    changelog,
    package_changes,
)
from outcrop.compat.family import family_named
from outcrop.compat.gentoo import lock as gentoo_lock
from outcrop.compat.gentoo.installed import package_versions
from outcrop.compat.layout import RECORDS, LayerLayout
from outcrop.compat.lock import Lock, parse_lock, read_lock
from outcrop.compat.package_sets import LayerDescription, parse_description
from outcrop.compat.redirection import Redirections, redirections, require_shared_paths
from outcrop.compat.relocate.tree import FileChanges
from outcrop.cvmfs.names import repository_name
from outcrop.errors import FormatError, InvalidValue, NotFound, OutcropError, storage_error
from outcrop.software.stack import place_problems
from outcrop.toml_text import read_text

LOCK_FILE = "lock.json"
LAYER_FILE = "layer.json"
SETS_FILE = "sets.json"
FILES = "files.sha256"
RELOCATION_FILE = "relocation.json"
REDIRECTIONS_FILE = "redirections.json"
RECORD_SUFFIX = "UTC"
FIRST_FORMAT = 1
"""Of digests from before the record counted, and of layers that do not say."""
DIGEST_FORMAT = 2
"""Of the digests that are made now. The number is counted, too: under another one, a layer has another digest."""
LINK = "-> "
"""How what stands for a link among digests begins."""

_STAMP = f"%Y%m%d_%H%M%S{RECORD_SUFFIX}"
_SHOWN_DIGEST = 16
_KERNEL = re.compile(r"[^0-9.].*")
"""What of a kernel's release says where it was built, and for which machines."""
_PYTHON_PACKAGES = ("installer", "msgspec", "zstandard")
"""What of Outcrop's Python reads and places the files of packages."""


@dataclass(slots=True)
class BuildLog:
    """The steps of a build, with their times in UTC."""

    lines: list[str] = field(default_factory=list)

    def say(self, now: datetime, text: str) -> None:
        self.lines.append(f"{now:%Y-%m-%dT%H:%M:%SZ} {text}")


@dataclass(frozen=True, slots=True)
class Difference:
    """A path whose contents are not the same in two trees; `before` or `after` is empty where it is not there."""

    path: str
    before: str
    after: str


def digests(tree: Path) -> dict[str, str]:
    """The SHA-256 of each file below `tree`, and `-> TARGET` of each link, by path, without records and what publishers
    put there. StorageError."""
    found: dict[str, str] = {}
    try:
        for directory, names, files in os.walk(tree, onerror=_raise):
            below = os.path.relpath(directory, tree)
            if below == ".":
                names[:] = [name for name in names if name != RECORDS]
            for name in (*names, *files):
                path = os.path.normpath(os.path.join(below, name))
                place = Path(directory, name)
                mode = place.lstat().st_mode
                if stat.S_ISLNK(mode):
                    found[path] = f"{LINK}{os.readlink(place)}"
                elif stat.S_ISREG(mode) and not is_publishers(path, place):
                    with place.open("rb") as file:
                        found[path] = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise storage_error(error) from error
    return found


def _raise(error: OSError) -> None:
    raise error


@dataclass(frozen=True, slots=True)
class CountedRecord:
    """What of a record counts in its layer's digest: the `links` that it brings to its repository, and, unless it is of
    the first format, the text of its `lock`, and which `layer` it is."""

    links: Redirections | None = None
    lock: bytes = b""
    layer: RecordedLayer | None = None

    def lines(self, digest_format: int) -> Iterator[str]:
        """What is counted after the files. No path of the layer begins with a slash, and no line of a file with `=`."""
        for path, target in sorted(self.links.targets().items() if self.links is not None else ()):
            yield f"{LINK}{target} - /{path}"
        if self.layer is not None and digest_format > FIRST_FORMAT:
            one = self.layer
            said = (digest_format, one.repository, one.version, one.family, one.mount_root, one.variable_prefix)
            yield f"= {msgspec.json.encode(said).decode()}"
            yield f"= {hashlib.sha256(self.lock).hexdigest()} {LOCK_FILE}"


def counted_record(tree: Path) -> CountedRecord:
    """What of the newest record of `tree` counts; nothing where it has none. NotFound, FormatError, StorageError."""
    record = latest_record(tree)
    if record is None:
        return CountedRecord()
    layer = recorded_layer(record)
    lock = read_text(record / LOCK_FILE).encode() if layer.digest_format > FIRST_FORMAT else b""
    return CountedRecord(recorded_redirections(tree), lock, layer)


def layer_digest(
    tree: Path,
    contents: Mapping[str, str] | None = None,
    counted: CountedRecord | None = None,
    digest_format: int | None = None,
) -> str:
    """The SHA-256 of all that the layer `tree` holds besides its records: paths, `contents` as `digests` gives them,
    and what may be executed; and of what counts of its record, by default as `tree` has that, in the `digest_format`
    that it names. Two builds of one lock have the same. NotFound, FormatError, StorageError."""
    total = hashlib.sha256()
    counted = counted if counted is not None else counted_record(tree)
    if digest_format is None:
        digest_format = counted.layer.digest_format if counted.layer is not None else FIRST_FORMAT
    try:
        for path, content in sorted((contents or digests(tree)).items()):
            executable = not content.startswith(LINK) and (tree / path).stat().st_mode & stat.S_IXUSR
            line = f"{content} {'x' if executable else '-'} {path}\0"
            total.update(line.encode("utf-8", "surrogateescape"))
    except OSError as error:
        raise storage_error(error) from error
    for line in counted.lines(digest_format):
        total.update(f"{line}\0".encode())
    return total.hexdigest()


def differences(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[Difference, ...]:
    """What is not the same in two trees' digests, in the order of the paths."""
    return tuple(
        Difference(path, before.get(path, ""), after.get(path, ""))
        for path in sorted(before.keys() | after.keys())
        if before.get(path) != after.get(path)
    )


def write_record(
    tree: Path,
    layout: LayerLayout,
    moment: datetime,
    lock: bytes,
    description: LayerDescription,
    changes: Sequence[FileChanges],
    log: BuildLog,
    tools: Iterable[Sequence[str]],
    further: Mapping[str, bytes] = MappingProxyType({}),
    occasion: Occasion = UNTOLD,
) -> Path:
    """Writes the record of a finished `tree`, with the text of its `lock` and `further` files by name; its directory.
    StorageError."""
    directory = tree / RECORDS / f"{moment:{_STAMP}}"
    contents = digests(tree)
    links = redirections(layout, description)
    lines = [f"{digest}  {path}" for path, digest in sorted(contents.items()) if not digest.startswith(LINK)]
    layer = _told_layout(layout, occasion)
    layer = msgspec.structs.replace(layer, digest=layer_digest(tree, contents, CountedRecord(links, lock, layer)))
    documents = {
        LAYER_FILE: _json(layer),
        CHANGELOG_FILE: changelog(_name(layout), contents_of(lock, LOCK_FILE), occasion, moment).encode(),
        LOCK_FILE: lock,
        SETS_FILE: _json(replace(description, gentoo=description.gentoo.without_passwords())),
        RELOCATION_FILE: _json([_told(one) for one in changes]),
        "tools.json": _json(_versions(tools)),
        REDIRECTIONS_FILE: _json(links),
        FILES: ("\n".join(lines) + "\n").encode("utf-8", "surrogateescape"),
        "build.log": ("\n".join(log.lines) + "\n").encode(),
        **further,
    }
    try:
        directory.mkdir(parents=True)
        for name, data in documents.items():
            (directory / name).write_bytes(data)
            (directory / name).chmod(0o644)
        for place in (directory, directory.parent):
            place.chmod(0o755)
    except OSError as error:
        raise storage_error(error) from error
    return directory


class RecordedLayer(msgspec.Struct, frozen=True):
    """Which layer it is, the digest of what it holds and in which format, and who built it, and why."""

    repository: str
    version: str
    family: str
    mount_root: str
    variable_prefix: str
    prefix: str = ""
    digest: str = ""
    author: str = ""
    message: str = ""
    digest_format: int = FIRST_FORMAT


def _name(layout: LayerLayout) -> str:
    return f"{layout.repository} {layout.version} for {layout.family.name}"


def _told_layout(layout: LayerLayout, occasion: Occasion) -> RecordedLayer:
    return RecordedLayer(
        layout.repository,
        layout.version,
        layout.family.name,
        str(layout.mount_root),
        layout.variable_prefix,
        str(layout.prefix),
        author=occasion.told_author,
        message=occasion.message,
        digest_format=DIGEST_FORMAT,
    )


def require_record(tree: Path) -> Path:
    """The directory of the newest record of the layer `tree`; NotFound where it has none."""
    record = latest_record(tree)
    if record is None:
        raise NotFound(what=f"the record of {tree}", hint="name the directory of a layer: …/compat/linux/<family>")
    return record


def recorded_layout(tree: Path) -> LayerLayout:
    """Which layer `tree` is, as its record says. NotFound, FormatError, StorageError."""
    return layout_in(require_record(tree))


def layout_in(record: Path) -> LayerLayout:
    """Which layer the directory `record` is of. NotFound, FormatError, StorageError."""
    return layout_of(recorded_layer(record), str(record / LAYER_FILE))


def recorded_layer(record: Path) -> RecordedLayer:
    """What the directory `record` says of its layer. NotFound, FormatError, StorageError."""
    path = record / LAYER_FILE
    return parse_layer(read_text(path).encode(), str(path))


def layout_of(found: RecordedLayer, what: str) -> LayerLayout:
    """The layout that `found` says. A record is no more trusted than a `stack.toml`: it may come from a repository, and
    says where to build, and what stands in a script; `what` names it in a FormatError."""
    try:
        repository, family = repository_name(found.repository), family_named(found.family)
    except InvalidValue as error:
        raise FormatError(what=what, field="the layer", problem=f"is not accepted: {error.message}") from error
    for field_name, problem in place_problems(found.version, found.variable_prefix, found.mount_root):
        raise FormatError(what=what, field=field_name, problem=problem)
    layout = LayerLayout(repository, found.version, family, PurePosixPath(found.mount_root), found.variable_prefix)
    if found.prefix not in ("", str(layout.prefix)):
        raise FormatError(what=what, field="prefix", problem=f"is {found.prefix}, where it says {layout.prefix}")
    return layout


def parse_layer(data: bytes, what: str) -> RecordedLayer:
    """What `data`, the record's description of its layer, says; `what` names it in a FormatError."""
    try:
        found = msgspec.json.decode(data, type=RecordedLayer)
    except msgspec.DecodeError as error:
        raise FormatError(what=what, field="the layer", problem=f"is not accepted: {error}") from error
    if not FIRST_FORMAT <= found.digest_format <= DIGEST_FORMAT:
        problem = f"is {found.digest_format}; this Outcrop knows {FIRST_FORMAT} to {DIGEST_FORMAT}"
        raise FormatError(what=what, field="digest_format", problem=problem)
    return found


class LayerOrigin(msgspec.Struct, frozen=True):
    """What a layer was resolved from: `release`, the names of its sets; `back_end` is empty for Debian's."""

    release: str
    sets: tuple[str, ...]
    back_end: str = ""


def recorded_origin(tree: Path) -> LayerOrigin:
    """What the layer `tree` was resolved from, as its record says. NotFound, FormatError, StorageError."""
    return origin_in(require_record(tree))


def origin_in(record: Path) -> LayerOrigin:
    """What the layer of the directory `record` was resolved from. NotFound, FormatError, StorageError."""
    path = record / LOCK_FILE
    try:
        return msgspec.json.decode(read_text(path).encode(), type=LayerOrigin)
    except msgspec.DecodeError as error:
        raise FormatError(what=str(path), field="the lock", problem=f"is not accepted: {error}") from error


def description_in(record: Path) -> LayerDescription:
    """The sets and declarations of the layer that the directory `record` is of. NotFound, FormatError, StorageError."""
    path = record / SETS_FILE
    return parse_description(read_text(path).encode(), str(path))


def recorded_digest(tree: Path) -> str:
    """The digest that the layer `tree` had when it was built; empty where its record does not say. NotFound,
    FormatError, StorageError."""
    return digest_in(require_record(tree))


def digest_in(record: Path) -> str:
    """The digest that the layer of the directory `record` had; empty where that does not say. NotFound, FormatError,
    StorageError."""
    return recorded_layer(record).digest


def recorded_redirections(tree: Path) -> Redirections | None:
    """The links of the layer `tree` that a site can redirect, as its record says; None where it has no record, or one
    from before there were links in the repository. FormatError, StorageError."""
    record = latest_record(tree)
    if record is None or not (record / REDIRECTIONS_FILE).is_file():
        return None
    path = record / REDIRECTIONS_FILE
    try:
        found = msgspec.json.decode(read_text(path).encode(), type=Redirections)
    except msgspec.DecodeError as error:
        raise FormatError(what=str(path), field="the links", problem=f"is not accepted: {error}") from error
    require_shared_paths(found.shared, str(path))
    return found


def recorded_description(tree: Path) -> LayerDescription:
    """The sets and declarations that the layer `tree` was made of, as its record says. NotFound, FormatError,
    StorageError."""
    return description_in(require_record(tree))


def recorded_lock(tree: Path) -> Lock:
    """What the layer `tree` is made of, as its record says. NotFound, FormatError, StorageError."""
    return read_lock(require_record(tree) / LOCK_FILE)


def files_in(record: Path) -> dict[str, str]:
    """The digests of a layer's files by path, as the directory `record` says. StorageError."""
    try:
        lines = (record / FILES).read_bytes().decode("utf-8", "surrogateescape").splitlines()
    except OSError as error:
        raise storage_error(error) from error
    return {path: digest for digest, _, path in (line.partition("  ") for line in lines)}


def contents_of(lock: bytes, what: str) -> LayerContents:
    """What the text `lock` names, of any back end; `what` names it in a FormatError."""
    try:
        origin = msgspec.json.decode(lock, type=LayerOrigin)
    except msgspec.DecodeError as error:
        raise FormatError(what=what, field="the lock", problem=f"is not accepted: {error}") from error
    if origin.back_end:
        installed = package_versions(gentoo_lock.parse_lock(lock, what).installed)
        return LayerContents(origin.release, origin.sets, installed)
    found = parse_lock(lock, what)
    wheels = {f"{wheel.name} (wheel)": wheel.version for wheel in found.wheels}
    return LayerContents(found.release, found.sets, {one.name: one.version for one in found.packages} | wheels)


def earlier_layer(place: Path) -> EarlierLayer:
    """The layer that a new one follows: `place` is its directory, or a lock, which may be that of a record. NotFound,
    FormatError, StorageError."""
    lock = require_record(place) / LOCK_FILE if place.is_dir() else place.absolute()
    contents = contents_of(read_text(lock).encode(), str(lock))
    record = lock.parent
    if lock.name != LOCK_FILE or not (record / LAYER_FILE).is_file():
        return EarlierLayer("what another lock names", contents)
    name = f"the layer of {_moment(record)} ({digest_in(record)[:_SHOWN_DIGEST]})"
    log = record / CHANGELOG_FILE
    return EarlierLayer(name, contents, read_text(log) if log.is_file() else "")


def changes_since(since: EarlierLayer | None, record: Path) -> tuple[PackageChange, ...]:
    """What is new in the layer of the directory `record`; nothing where it follows none. FormatError, StorageError."""
    lock = record / LOCK_FILE
    return package_changes(since.contents, contents_of(read_text(lock).encode(), str(lock))) if since else ()


def following(occasion: Occasion, tree: Path) -> Occasion:
    """The occasion of a layer that takes the place `tree`: unless it says what it follows, that is the layer there. One
    whose record cannot be read gives way like any other."""
    if occasion.since is None and latest_record(tree) is not None:
        with suppress(OutcropError):
            return replace(occasion, since=earlier_layer(tree))
    return occasion


def _moment(record: Path) -> str:
    try:
        return f"{datetime.strptime(record.name, _STAMP).replace(tzinfo=UTC):%Y-%m-%d %H:%M} UTC"
    except ValueError:  # a copy of a record under another name
        return "an unknown day"


def latest_record(tree: Path) -> Path | None:
    """The directory of the newest record of the layer `tree`; None where it has none."""
    return max((path for path in (tree / RECORDS).glob(f"*{RECORD_SUFFIX}") if path.is_dir()), default=None)


def _json(value: object) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=1) + b"\n"


def _told(changes: FileChanges) -> dict[str, object]:
    def texts(strings: Iterable[bytes]) -> list[str]:
        return sorted({text.decode("utf-8", "backslashreplace")[:200] for text in strings})

    told = {
        "path": os.fsencode(changes.path).decode("utf-8", "backslashreplace"),
        "kind": changes.kind,
        "moved": changes.moved,
        "lengths": texts(changes.lengths),
        "left": texts(changes.left),
        "inlined": texts(changes.inlined),
        "refused": changes.refused,
    }
    return {name: value for name, value in told.items() if value}


def _versions(tools: Iterable[Sequence[str]]) -> dict[str, str]:
    found = {
        "outcrop": version("outcrop"),
        "python": platform.python_version(),
        "kernel": _KERNEL.sub("", platform.release()),
    }
    found |= {name: version(name) for name in _PYTHON_PACKAGES}
    for command in tools:
        answer = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        found[Path(command[0]).name] = (answer.stdout or answer.stderr).strip().partition("\n")[0]
    return found
