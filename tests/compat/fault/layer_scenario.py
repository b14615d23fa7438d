"""What is broken: a machine that builds a tiny layer from an archive made here, and publishes it.

The layer has a library and its user, and programs in the places of those that finish a layer, so that a full disk is
met by them as well.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from outcrop.compat.debian.package_mirror import PARTIAL
from outcrop.cvmfs.entry import Entry
from outcrop.cvmfs.names import repository_name
from outcrop.storage.directory import TEMPORARY_DIRECTORIES
from outcrop.stratum0.repository import OwnedRepository
from outcrop.stratum0.signing.key_files import new_private_key, write_private_key
from outcrop.stratum0.signing.keys import KeyFiles, create_missing_keys
from tests.compat.debian.archive_made_here import MadeArchive, MadeKey
from tests.compat.debian.packages_made_here import MadePackage, directory, file
from tests.compat.layer_publisher import (
    FAMILY,
    MENDED,
    OLD,
    PLACE,
    PRODUCTION,
    TESTS,
    archive,
    compiled,
    library,
    user,
    write_stack,
)
from tests.faulty_server import Site, serving
from tests.stratum0.fault.commands import CommandServer, Ended, Watch
from tests.stratum0.reading import entries, published_manifest

PROGRAMS = ("gcc", "gpgv", "bwrap")
"""What making and building the layer needs."""

_KEY_BITS = 1024
"""They guard nothing; a real key takes longer to make than all else."""

_FINISHER = r"""
#include <stdio.h>
#include <string.h>
int main(int count, char **words) {
    static char data[40000];
    char place[4096];
    int is_cache = count > 3 && !strcmp(words[2], "-C");
    snprintf(place, sizeof place, is_cache ? "%s" : "%s/thing.pyc", words[is_cache ? 3 : count - 1]);
    FILE *made = fopen(place, "w");
    if (made && fwrite(data, 1, sizeof data, made) == sizeof data && !fclose(made)) return 0;
    perror(place);
    return 1;
}
"""
"""Writes the loader's cache, or one file of bytecode, and says what went wrong."""

_SET = """
[[package]]
name = "python3.11"
reason = "bytecode is made"
"""


@dataclass(frozen=True, slots=True)
class State:
    """What users of a repository see."""

    revision: int
    entries: dict[bytes, Entry]


class LayerScenario:
    """A machine in the directory `arena`, below the new directory `top`: a stack, a mirror, trees and repositories.
    `url` is where the archive is served. Settings are what the arena can begin from."""

    def __init__(self, top: Path, key: MadeKey, server: CommandServer, site: Site, url: str) -> None:
        self.arena = top / "arena"
        self.tree = self.arena / "tree" / PLACE
        self.site = site
        self._settings = top / "settings"
        self._server = server
        self._key = key
        self._url = url
        programs = top / "programs"
        programs.mkdir(parents=True)
        finisher = compiled_finisher(programs)
        self._old = made_archive(key, library(programs, OLD), user(programs), "1.0-1", finisher).files
        self._new = made_archive(key, library(programs, MENDED), user(programs), "1.0-2", finisher).files
        self.arena.mkdir()
        write_stack(self.arena / "stack")
        things = self.arena / "stack" / "compat" / "things.toml"
        things.write_text(things.read_text() + _SET)
        self._keep_as("nothing")

    def serve(self, *, old: bool = False) -> None:
        """Lets the archive have the newer library, or the `old` one."""
        self.site.faults.clear()
        self.site.files = dict(self._old if old else self._new)

    @property
    def building(self) -> tuple[str, ...]:
        """The command that builds what the archive has, whatever was there."""
        return ("compat", "build", "--tree", str(self.arena / "tree"), "--replace", *self.sources)

    @property
    def updating(self) -> tuple[str, ...]:
        """The command that publishes the newer library for tests. Its layer has no shell to be verified with."""
        return (*self.verified_update, "--no-verify")

    @property
    def verified_update(self) -> tuple[str, ...]:
        """The same with a verification, which fails."""
        where = ("--debian-mirror", self._url, "--keyring", str(self._key.keyring))
        return ("compat", "update", "--source", "thing", "--publish", TESTS, *where, str(self.tree))

    @property
    def updates(self) -> Path:
        """The directory with the layers that updates have built."""
        return self.arena / "data" / "updates"

    def updated(self) -> Path | None:
        """The layer that an update has built; None where there is none."""
        return next(self.updates.glob(f"*/{PLACE}"), None)

    @property
    def sources(self) -> tuple[str, ...]:
        """Which stack, which archive, which keys."""
        stack = str(self.arena / "stack")
        return ("--stack", stack, "--debian-mirror", self._url, "--keyring", str(self._key.keyring))

    @property
    def mirror(self) -> Path:
        return self.arena / ".cache" / "outcrop" / "packages"

    def run(self, *arguments: str, code: int = 0, watch: Watch | None = None, on_one_core: bool = False) -> Ended:
        """Runs `outcrop`, seen by `watch`, which must end with `code`."""
        ended = self.end(*arguments, watch=watch, on_one_core=on_one_core)
        assert ended.code == code, f"{arguments[:2]}: {ended}"
        return ended

    def end(self, *arguments: str, watch: Watch | None = None, on_one_core: bool = False) -> Ended:
        """Runs `outcrop`, seen by `watch`, however it ends."""
        return self._server.run(self.arena, arguments, watch=watch, on_one_core=on_one_core)

    def begin(self, setting: str) -> Path:
        """The arena, where nothing but that setting is any more."""
        shutil.rmtree(self.arena, ignore_errors=True)
        shutil.copytree(self._settings / setting, self.arena, symlinks=True)
        return self.arena

    def make_layer(self) -> None:
        """Makes the setting `layer`: the old layer, and its packages in the mirror."""
        self.begin("nothing")
        self.serve(old=True)
        self.run(*self.building)
        self._keep_as("layer")
        self.serve()

    def make_repositories(self) -> str:
        """Makes the settings `outdated` (the old layer for users and for tests), `published` (the new one for tests)
        and `promoted` (the new one for users), after `layer`; the digest of the new layer."""
        self.begin("layer")
        data = self.arena / "data"
        data.mkdir()
        for name in map(repository_name, (PRODUCTION, TESTS)):
            keys = KeyFiles(data, name)
            for secret in (keys.master_key, keys.signing_key):
                write_private_key(secret, new_private_key(_KEY_BITS))
            create_missing_keys(keys, datetime.now(UTC))
            self.run("repo", "create", name)
        self.serve()
        self.run("compat", "publish", str(self.tree), PRODUCTION)
        self.run("compat", "publish", "--for-tests", str(self.tree), TESTS)
        self._keep_as("outdated")
        self.run(*self.building)
        digest = self.run("compat", "publish", "--for-tests", str(self.tree), TESTS).output.splitlines()[-1]
        self._keep_as("published")
        self.run("compat", "promote", TESTS, PRODUCTION, digest)
        self._keep_as("promoted")
        return digest

    def published(self, name: str = PRODUCTION) -> State:
        """What users of the repository `name` see."""
        store = OwnedRepository.open(self.arena / "data", repository_name(name)).store
        return State(published_manifest(store).revision, entries(store))

    def require_whole(self, name: str = PRODUCTION) -> None:
        """Fails unless the check of the repository `name` finds nothing."""
        self.run("repo", "check", name, "--full")

    def leftovers(self) -> list[Path]:
        """What only an interrupted command leaves."""
        places = [self.tree.parent, self.mirror.parent, *self.updates.glob(f"*/{Path(PLACE).parent}")]
        found: list[Path] = []
        for storage in (self.arena / "data" / "storage").glob("*"):
            for name in TEMPORARY_DIRECTORIES:
                found += [path for path in (storage / name).rglob("*") if path.is_file()]
        found += [path for path in self.mirror.rglob(".*") if path.name != PARTIAL]
        for place in places:
            found += [*place.glob("outcrop-*"), *place.glob(".*.before")]
        return found + list((self.mirror / PARTIAL).glob("*"))

    def _keep_as(self, setting: str) -> None:
        shutil.copytree(self.arena, self._settings / setting, symlinks=True)


@contextmanager
def layer_scenario(top: Path, key: MadeKey, server: CommandServer) -> Iterator[LayerScenario]:
    """A scenario in `top` for the block, with its archive served."""
    site = Site()
    with serving(site) as url:
        made = LayerScenario(top, key, server, site, url)
        made.make_layer()
        yield made


def compiled_finisher(place: Path) -> bytes:
    """A program that can stand where the layer's own would finish it, and needs no library."""
    return compiled(place, "finisher", _FINISHER, "-static", "-O1", with_libc=True)


def made_archive(key: MadeKey, libthing: bytes, program: bytes, version: str, finisher: bytes) -> MadeArchive:
    """An archive whose layer is finished by `finisher`."""
    names = ("usr", "usr/bin", "usr/sbin", "usr/lib", "usr/lib/python3")
    python = MadePackage(
        "python3.11",
        "3.11.2-6",
        FAMILY.debian,
        {"Depends": "thing-user"},
        entries=(
            *map(directory, names),
            file("usr/sbin/ldconfig", finisher, 0o755),
            file("usr/bin/python3", finisher, 0o755),
            file("usr/lib/python3/thing.py", b"THING = 1\n"),
            file("usr/bin/script", b"#!/usr/bin/python3\n", 0o755),
        ),
    )
    return archive(key, libthing, program, version, [python])
