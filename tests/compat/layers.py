"""A layer with compilers, made of what comes with Outcrop: a run of the tests builds it once, for all that need one.

The packages come from the mirror that this machine's apt is set up for. Only the release itself is read, without its
updates: of those, a mirror that is not renewed for a week has nothing that holds. Packages are kept in the directory
that OUTCROP_TEST_PACKAGES names, so that the next run need not fetch them; by default among the run's own files.
"""

from __future__ import annotations

import fcntl
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from outcrop.compat.debian.signature import KEYRINGS
from outcrop.compat.family import this_family
from outcrop.compat.layout import LayerLayout
from outcrop.compat.record import recorded_redirections
from outcrop.compat.sealed_root import SealedRoot, sealed_root
from outcrop.compat.verify.shown import show_as_client, show_shared
from outcrop.cvmfs.names import repository_name
from outcrop.software.sources.apt_sources import read_apt_sources

BUILD_SECONDS = 900
"""How long a test may take that is the first to need the layer: its packages are fetched, and it is built."""

NEEDS_A_RELEASE = (
    pytest.mark.skipif(not any(path.is_file() for path in KEYRINGS), reason="this machine does not know Debian's keys"),
    pytest.mark.skipif(not read_apt_sources(), reason="this machine's apt has no mirror"),
    pytest.mark.skipif(shutil.which("gpgv") is None, reason="gpgv is not installed"),
    pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed"),
)
"""Marks of tests that build a layer."""

BUILDS_ON_TOP = [
    pytest.mark.integration,
    pytest.mark.slow,
    pytest.mark.xdist_group("compilers"),
    pytest.mark.timeout(BUILD_SECONDS),
    pytest.mark.skipif(importlib.util.find_spec("easybuild") is None, reason="EasyBuild is not installed"),
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the small stack is one for x86_64"),
    *NEEDS_A_RELEASE,
]
"""Of tests that build software on the layer with compilers."""

_ATTEMPTS = 3
"""A mirror that falters is no fault of a layer; what was fetched is kept."""

_STACK = 'repository = "software.example.org"\nversion = "2026.06"\n'
_LAYER = 'suites = ["bookworm"]\n'


@dataclass(frozen=True, slots=True)
class SharedLayer:
    """What was built below `place`. Nobody writes there: whoever wants to change something makes a copy."""

    place: Path
    packages: Path

    @property
    def stack(self) -> Path:
        """The directory with `stack.toml` and `compat/`."""
        return self.place / "stack"

    @property
    def repository_root(self) -> Path:
        """The directory that appears below the mount point: it has `versions/…`."""
        return self.place / "trees"

    @property
    def layout(self) -> LayerLayout:
        return LayerLayout(repository_name("software.example.org"), "2026.06", this_family())

    @property
    def tree(self) -> Path:
        """The layer as it was built."""
        return self.repository_root / self.layout.relative

    @property
    def shown(self) -> Path:
        """The layer as a client shows it."""
        return self.place / "shown"

    @property
    def shared(self) -> Path:
        """What the repository has beside its versions, as a client shows it."""
        return self.place / "shared"

    def root(self) -> SealedRoot:
        """A root that holds the layer and the links for sites, for reading, and nothing else."""
        return sealed_root(self.layout, self.shown, shared=self.shared)


def shared_layer(place: Path) -> SharedLayer:
    """The layer below `place`, which is built by the first of all processes that ask for it."""
    place.mkdir(parents=True, exist_ok=True)
    layer = SharedLayer(place, Path(os.environ.get("OUTCROP_TEST_PACKAGES") or place / "packages"))
    with (place / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if not layer.shown.is_dir():
            _build(layer)
    return layer


def _build(layer: SharedLayer) -> None:
    (layer.stack / "compat").mkdir(parents=True, exist_ok=True)
    (layer.stack / "stack.toml").write_text(_STACK, encoding="utf-8")
    (layer.stack / "compat/layer.toml").write_text(_LAYER, encoding="utf-8")
    command = [sys.executable, "-m", "outcrop", "compat", "build", "--with", "compilers", "--replace"]
    command += ["--stack", str(layer.stack), "--mirror", str(layer.packages), "--tree", str(layer.repository_root)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OUTCROP_", "XDG_"))}
    environment["HOME"] = str(layer.place)
    for _ in range(_ATTEMPTS):
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if "cannot be fetched" not in ended.stderr:
            break
    assert ended.returncode == 0, ended.stderr
    links = recorded_redirections(layer.tree)
    assert links is not None
    show_shared(links.shared, layer.shared)
    show_as_client(layer.tree, layer.shown)
