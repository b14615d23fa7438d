"""A machine that builds, publishes, promotes and takes back a layer of a library and its user.

The layer is from an archive made here, so nothing but the archive's server is on the way.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from outcrop.compat.family import this_family
from tests.compat.debian.archive_made_here import MadeArchive, MadeKey, MadeSuite
from tests.compat.debian.packages_made_here import MadePackage, directory, file
from tests.faulty_server import Site, serving

PRODUCTION, TESTS = "software.example.org", "test.example.org"
FAMILY = this_family()
PLACE = f"versions/2026.06/compat/linux/{FAMILY.name}"
LIBRARY = f"usr/lib/{FAMILY.triplet}/libthing.so.1"

NEEDS_TOOLS = [
    pytest.mark.integration,
    pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed"),
    pytest.mark.skipif(shutil.which("gpgv") is None, reason="gpgv is not installed"),
    pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed"),
]
"""Marks of tests that have a `Publisher`."""

VERSIONS = {"old": "1.0-1", "mended": "1.0-1+deb12u1", "broken": "1.0-1+deb12u2"}
"""The library's, in each of the archives."""

LAYER = """
back_end = "debian"
release = "bookworm"
suites = ["bookworm"]
standard_sets = false
"""
SET = """
purpose = "a library and its user"

[[package]]
name = "thing-user"
reason = "uses it"
"""

OLD = "int answer(void) { return 41; } int other(void) { return 1; }"
MENDED = "int answer(void) { return 42; } int other(void) { return 1; } int more(void) { return 2; }"
BROKEN = "int other(void) { return 1; }"
USER = "int answer(void); int main(void) { return answer(); }"
LATER_USER = "int more(void); int main(void) { return more(); }"


def write_stack(place: Path) -> None:
    """The stack whose layer has the library and its user, in the directory `place`."""
    (place / "compat").mkdir(parents=True)
    (place / "stack.toml").write_text(f'repository = "{PRODUCTION}"\nversion = "2026.06"\n')
    (place / "compat" / "layer.toml").write_text(LAYER)
    (place / "compat" / "things.toml").write_text(SET)


@dataclass(frozen=True)
class Publisher:
    """A machine with both repositories, and an archive of which it knows the key."""

    place: Path
    key: MadeKey

    def __call__(
        self, *words: str, code: int = 0, settings: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Runs `outcrop` with `words`, and `settings` in its environment."""
        place = self.place
        own = {"HOME": str(place), "OUTCROP_DATA_DIR": str(place / "data"), "OUTCROP_CACHE_DIR": str(place / "cache")}
        ended = subprocess.run(
            [sys.executable, "-m", "outcrop", *words],
            cwd=place,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", **own, **(settings or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == code, ended.stdout + ended.stderr
        return ended

    def json(self, *words: str) -> dict[str, object]:
        answer: dict[str, object] = json.loads(self(*words, "--json").stdout)
        return answer

    def build(self, url: str, *words: str) -> Path:
        """The layer, built anew from what the archive at `url` has, or as `words` say."""
        mirror = ["--debian-mirror", url, "--keyring", str(self.key.keyring)]
        self("compat", "build", "--stack", "stack", "--tree", "tree", "--replace", *mirror, *words)
        return self.place / "tree" / PLACE

    def published(self, url: str, *words: str) -> str:
        """The layer that `url` has now, in both repositories; its digest."""
        layer = self.build(url, *words)
        digest = self("compat", "publish", "--for-tests", str(layer), TESTS).stdout.strip()
        self("compat", "promote", TESTS, PRODUCTION, digest)
        return digest

    def update(self, url: str, layer: Path, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """A lock `new.json` with the newest library that the archive at `url` has."""
        mirror = ["--debian-mirror", url, "--keyring", str(self.key.keyring)]
        return self(
            "compat", "update", "--source", "thing", "--lock", "new.json", *mirror, *words, str(layer), code=code
        )

    def shown(self, repository: str, path: str = f"{PLACE}/{LIBRARY}") -> bytes:
        """The file at `path`, as a reader sees it."""
        copy = self.place / "shown"
        shutil.rmtree(copy, ignore_errors=True)
        self("checkout", repository, str(copy), "--path", f"/{os.path.dirname(path)}")
        return (copy / os.path.basename(path)).read_bytes()


@contextmanager
def archives_served(publisher: Publisher) -> Iterator[dict[str, str]]:
    """Archives with the library as it was, as it is mended, and as it is broken, by their addresses."""
    place = publisher.place
    old = library(place, OLD)
    program = user(place)
    versions = {
        "old": (old, VERSIONS["old"]),
        "mended": (library(place, MENDED), VERSIONS["mended"]),
        "broken": (library(place, BROKEN), VERSIONS["broken"]),
    }
    with ExitStack() as servers:
        yield {
            name: servers.enter_context(serving(Site(archive(publisher.key, data, program, version).files)))
            for name, (data, version) in versions.items()
        }


def compiled(place: Path, name: str, source: str, *options: str, with_libc: bool = False) -> bytes:
    """The ELF file of `source`."""
    (place / f"{name}.c").write_text(source)
    command = [
        "gcc",
        *(() if with_libc else ("-nostdlib",)),
        "-fPIC",
        str(place / f"{name}.c"),
        *options,
        "-o",
        str(place / name),
    ]
    subprocess.run(command, check=True)
    return (place / name).read_bytes()


def library(place: Path, source: str) -> bytes:
    return compiled(place, "libthing.so.1", source, "-shared", "-Wl,-soname,libthing.so.1")


def user(place: Path, source: str = USER) -> bytes:
    return compiled(place, "user", source, "-Wl,-e,main", f"-L{place}", "-l:libthing.so.1")


def archive(
    key: MadeKey,
    libthing: bytes,
    program: bytes,
    version: str,
    further: Sequence[MadePackage] = (),
    lasts: timedelta = timedelta(days=2),
) -> MadeArchive:
    """An archive that has the library in `version`, and `further` packages; what it says `lasts` so long from now."""
    now = datetime.now(UTC)
    names = [f"usr/lib/{FAMILY.triplet}", "usr/bin"]
    directories = [directory(name) for name in ("usr", "usr/lib", *names)]
    packages = [
        MadePackage(
            "libthing1",
            version,
            FAMILY.debian,
            {"Source": "thing"},
            entries=(*directories, file(LIBRARY, libthing)),
        ),
        MadePackage(
            "thing-user",
            "1.0-1",
            FAMILY.debian,
            {"Depends": "libthing1 (>= 1.0)"},
            entries=(*directories, file("usr/bin/thing-user", program, 0o755)),
            script="#!/bin/sh\nldconfig\nadduser --system thing\n",
        ),
        *further,
    ]
    made = MadeArchive()
    suite = MadeSuite(
        "bookworm",
        date=now - timedelta(days=1),
        valid_until=now + lasts,
        architectures=(FAMILY.debian,),
    )
    made.add_suite(suite, packages, key)
    return made
