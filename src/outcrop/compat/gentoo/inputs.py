"""What a build takes in: the snapshot, the script, overlays and source archives, each proved before it is used."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from outcrop.compat.debian.package_mirror import PackageMirror
from outcrop.compat.gentoo.lock import SourceArchive
from outcrop.compat.gentoo.settings import Bootstrap, GentooSettings, Overlay, Snapshot
from outcrop.compat.gentoo.workplace import remove_directory
from outcrop.errors import CommandFailed, MissingCapability, NetworkError, storage_error
from outcrop.scratch import scratch_directory

_HINT = "name a mirror that this machine reaches in `mirrors` of `[gentoo]`, or check the proxy and the network"


def fetch_snapshot(snapshot: Snapshot, settings: GentooSettings, mirror: PackageMirror) -> Path:
    """The archive of `snapshot`. NetworkError, IntegrityError, StorageError."""
    urls = [f"{url.rstrip('/')}/snapshots/{snapshot.name}" for url in settings.mirrors]
    return _fetched(mirror, snapshot.sha256, urls, f"the snapshot of {snapshot.date}")


def fetch_bootstrap(bootstrap: Bootstrap, mirror: PackageMirror) -> Path:
    """The script. NetworkError, IntegrityError, StorageError."""
    return _fetched(mirror, bootstrap.sha256, [bootstrap.url], "the bootstrap script")


def fetch_archive(archive: SourceArchive, settings: GentooSettings, mirror: PackageMirror) -> Path:
    """A source archive. NetworkError, IntegrityError, StorageError."""
    # Mirrors have directories by the first digits of the name's digest (GLEP 75); older ones have none.
    directory = hashlib.blake2b(archive.name.encode()).hexdigest()[:2]
    places = (f"{directory}/{archive.name}", archive.name)
    urls = [f"{url.rstrip('/')}/distfiles/{place}" for url in settings.mirrors for place in places]
    return _fetched(mirror, archive.sha256, urls, f"the source archive {archive.name}")


def _fetched(mirror: PackageMirror, sha256: str, urls: Sequence[str], what: str) -> Path:
    try:
        return mirror.fetch(sha256, urls, what)
    except NetworkError as error:
        place = f" ({error.fields['what']})" if urls else ""
        raise NetworkError(what=f"{what}{place}", problem=error.fields["problem"], hint=_HINT) from error


def keep_archives(directory: Path, mirror: PackageMirror) -> tuple[SourceArchive, ...]:
    """Puts the source archives in `directory` into the mirror; what they are. StorageError."""
    found = []
    try:
        for path in sorted(directory.iterdir()) if directory.is_dir() else ():
            if path.is_file() and not path.is_symlink() and not path.name.startswith("."):
                with path.open("rb") as file:
                    digest = hashlib.file_digest(file, "sha256").hexdigest()
                if not mirror.holds(digest):
                    _copy(path, mirror.place(digest))
                found.append(SourceArchive(path.name, digest))
    except OSError as error:
        raise storage_error(error) from error
    return tuple(found)


def place_archives(archives: Iterable[tuple[SourceArchive, Path]], directory: Path) -> None:
    """Puts fetched source archives where Portage and the script look first. StorageError."""
    try:
        for archive, path in archives:
            _copy(path, directory / archive.name)
    except OSError as error:
        raise storage_error(error) from error


def _copy(source: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    temporary = place.with_name(f".{place.name}.new")
    shutil.copyfile(source, temporary)
    temporary.replace(place)


def unpack_snapshot(archive: Path, place: Path) -> None:
    """The ebuilds of `archive` at `place`, marked for the script as the ones to use. CommandFailed, StorageError."""
    remove_directory(place)
    try:
        place.mkdir(parents=True)
        _run(["tar", "--extract", "--xz", "--strip-components=1", "--no-same-owner", f"--file={archive}"], place)
        (place / ".unpacked").touch()
    except OSError as error:
        raise storage_error(error) from error


def unpack_overlay(overlay: Overlay, place: Path, scratch: Path) -> None:
    """The files of the overlay's commit at `place`, without their history. CommandFailed, StorageError."""
    remove_directory(place)
    try:
        place.mkdir(parents=True)
        with scratch_directory("overlay", scratch) as cloned:
            archive = cloned.directory / "overlay.tar"
            repository = cloned.directory / "repository"
            _run(["git", "clone", "--quiet", "--bare", overlay.url, str(repository)], scratch)
            _run(["git", "archive", "--format=tar", f"--output={archive}", overlay.commit], repository)
            _run(["tar", "--extract", "--no-same-owner", f"--file={archive}"], place)
    except OSError as error:
        raise storage_error(error) from error


def _run(command: Sequence[str], directory: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment |= {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    program = shutil.which(command[0])
    if program is None:
        raise MissingCapability(
            what=f"`{command[0]}`", problem="the program is not installed", hint=f"install the package `{command[0]}`"
        )
    ended = subprocess.run(
        [program, *command[1:]],
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if ended.returncode != 0:
        words = ended.stderr.strip().splitlines() or [f"exit code {ended.returncode}"]
        raise CommandFailed(what=f"`{' '.join(command[:2])}`", problem=words[-1], hint=_HINT)
