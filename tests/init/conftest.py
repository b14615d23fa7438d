"""Recorded machines, and a small repository to initialise."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from outcrop.init.render import InitSettings, render_init

RECORDED = Path(__file__).parents[3] / "shared" / "samples" / "archdetect"
"""EESSI's recorded machines, whose licence keeps them out of this tree."""

VERSION = "2025.06"
ICELAKE_CPUINFO = (
    "vendor_id\t: GenuineIntel\nflags\t\t: fpu avx2 fma bmi1 bmi2 f16c movbe abm adx avx512f avx512bw avx512cd avx512dq"
    " avx512vl avx512ifma avx512vbmi avx512_vbmi2 avx512_vnni avx512_bitalg avx512_vpopcntdq gfni vaes vpclmulqdq\n"
)
MODULE = """help([[{name} for {target}]])
setenv("{variable}", "{target}")
prepend_path("PATH", "{target}/bin")
"""

MACHINE_PATH = os.environ.get("OUTCROP_TEST_PATH", "/usr/local/bin:/usr/bin:/bin")
"""Where the shells under test look for programs; set it to put another version of bash first."""


@pytest.fixture(scope="session")
def recorded() -> Path:
    """The directory of recorded machines."""
    if not RECORDED.is_dir():
        pytest.skip("the recorded machines of EESSI's archdetect are not beside this checkout")
    return RECORDED


@pytest.fixture
def lmod() -> None:
    """The host's Lmod is where the rendered files look first."""
    if not Path("/usr/share/lmod/lmod/init/bash").is_file():
        pytest.skip("Lmod is not installed in /usr/share/lmod")


@dataclass
class Repository:
    """A repository's tree with rendered init files, as a client sees it, and shells that use it."""

    root: Path
    home: Path
    settings: InitSettings = field(
        default_factory=lambda: InitSettings(repository="software.example.org", version=VERSION)
    )

    @property
    def prefix(self) -> Path:
        return self.root / "versions" / self.settings.version

    @property
    def start(self) -> Path:
        return self.prefix / "init" / "bash"

    def target(self, path: str) -> Path:
        return self.prefix / "software" / "linux" / path

    def write_init(self) -> None:
        for rendered in render_init(self.settings):
            path = self.root / rendered.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(rendered.content)
            path.chmod(rendered.mode)

    def add_software(self, target: str, name: str = "hello") -> Path:
        """A module `name`/1.0 below `target` that sets HELLO (its name in capitals) to the target."""
        directory = self.target(target)
        (directory / "software").mkdir(parents=True, exist_ok=True)
        module = directory / "modules" / "all" / name / "1.0.lua"
        module.parent.mkdir(parents=True)
        module.write_text(MODULE.format(name=name, target=target, variable=name.upper()), "utf-8")
        return directory

    def write_cpuinfo(self, text: str = ICELAKE_CPUINFO) -> Path:
        path = self.home / "cpuinfo"
        path.write_text(text, "utf-8")
        return path

    def bash(
        self,
        script: str,
        environment: Mapping[str, str] | None = None,
        options: tuple[str, ...] = ("--norc", "--noprofile"),
    ) -> subprocess.CompletedProcess[str]:
        """Run `script` in a clean bash, in which $INIT is the file to source and the machine is an Ice Lake."""
        settings = {
            "HOME": str(self.home),
            "PATH": MACHINE_PATH,
            "TERM": "dumb",
            "INIT": str(self.start),
            f"{self.settings.prefix}PROC_CPUINFO": str(self.write_cpuinfo()),
            f"{self.settings.prefix}MACHINE_TYPE": "x86_64",
            **(environment or {}),
        }
        return subprocess.run(
            ["bash", *options, "-c", script],
            env=settings,
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            timeout=60,
            check=False,
        )


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """A repository whose path has spaces and letters beyond ASCII, with software for haswell and generic."""
    home = tmp_path / "zu Hause é"
    home.mkdir()
    built = Repository(tmp_path / "store é" / "software.example.org", home)
    built.write_init()
    built.add_software("x86_64/intel/haswell")
    built.add_software("x86_64/generic")
    return built


def require_program(name: str) -> str:
    """The path of the program `name`; skips the test where it is missing."""
    found = shutil.which(name, path=os.environ.get("PATH"))
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found
