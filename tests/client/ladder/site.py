"""A small repository with real programs in it, served over HTTP on loopback, and machines that use it."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from outcrop.cvmfs.names import RepositoryName
from outcrop.stratum0.serve import RepositoryServer
from tests.client.ladder.confined import NOBODY, SHOWN_AT, Confinement, Report

ROOT = Path(__file__).resolve().parents[3]
NAME = RepositoryName("tools.example.org")
PREFIX = f"/cvmfs/{NAME}"
GREETING = "Hello from the repository"
_SECONDS = 110
PRIVATE_NAMESPACES = (
    "unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc",
)  # fmt: skip
_SHOW = f"""#!/bin/sh
# A script whose interpreter is the machine's, and which calls a program of the repository.
{PREFIX}/bin/cat {PREFIX}/greeting
echo "way $OUTCROP_RUN_WAY"
echo "user $(id -u)"
"""


@functools.cache
def reason_against_machines() -> str:
    """Why no machine can be staged here; empty if one can."""
    if os.geteuid() != 0:
        return "only root can stage a machine that forbids things"
    if shutil.which("unshare") is None:
        return "unshare (util-linux) is not installed"
    tried = subprocess.run([*PRIVATE_NAMESPACES, "true"], capture_output=True, check=False)
    return "" if tried.returncode == 0 else f"no namespaces: {tried.stderr.decode(errors='replace').strip()}"


@dataclass(frozen=True)
class Site:
    """The repository at `url`, proved by `key`. `directory` is what machines see at `/mnt`."""

    directory: Path
    url: str

    @property
    def key(self) -> str:
        return str(SHOWN_AT / f"{NAME}.pub")

    def outcrop(self, *arguments: str) -> list[str]:
        """A command line of `outcrop`."""
        return [sys.executable, "-m", "outcrop", *arguments]

    def run(self, *command: str, options: Sequence[str] = (), tag: str = "") -> list[str]:
        """The command line of `outcrop run` that runs `command`."""
        return self.outcrop("run", "--key", self.key, *options, self.url + (f"@{tag}" if tag else ""), "--", *command)

    def on_a_machine(
        self,
        command: Sequence[str],
        *,
        user: int = NOBODY,
        fuse: bool = True,
        namespaces: bool = True,
        open_files: int = 0,
        kill_after: float = -1.0,
        text: str = "",
        environment: Mapping[str, str] | None = None,
        home: str = "home",
    ) -> Report:
        """What happens to `command` on a machine that allows what is said; `home` is a directory of the site's, empty
        for no home at all."""
        reason = reason_against_machines()
        if reason:
            pytest.skip(reason)
        if home:
            place = self.directory / home
            place.mkdir(exist_ok=True)
            os.chown(place, user, user)
        report = self.directory / "report.json"
        report.unlink(missing_ok=True)
        where = {
            "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}",
            "TMPDIR": str(SHOWN_AT / "t"),
            **({"HOME": str(SHOWN_AT / home)} if home else {}),
            **(environment or {}),
        }
        confinement = Confinement(
            list(command), str(self.directory), str(SHOWN_AT / "report.json"), user, fuse, namespaces, open_files,
            kill_after, text, where,
        )  # fmt: skip
        surroundings = {name: value for name, value in os.environ.items() if name not in ("HOME", "XDG_RUNTIME_DIR")}
        ended = subprocess.run(
            [*PRIVATE_NAMESPACES, sys.executable, "-m", "tests.client.ladder.confined", confinement.text()],
            cwd=ROOT,
            env={**surroundings, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_SECONDS,
            check=False,
        )
        assert ended.returncode == 0, ended.stdout.decode(errors="replace")
        return Report(**json.loads(report.read_text()))


@contextmanager
def open_site(directory: Path) -> Iterator[Site]:
    """A site in the new directory `directory`, whose server answers within the block."""
    directory.chmod(0o755)
    (directory / "t").mkdir()
    (directory / "t").chmod(0o1777)
    tree = directory / "tree"
    (tree / "bin").mkdir(parents=True)
    cat = shutil.which("cat")
    assert cat is not None
    shutil.copy(os.path.realpath(cat), tree / "bin" / "cat")
    (tree / "greeting").write_text(f"{GREETING}\n")
    (tree / "bin" / "show").write_text(_SHOW)
    (tree / "bin" / "show").chmod(0o755)
    data, storage = directory / "data", directory / "storage"
    environment = {**os.environ, "OUTCROP_DATA_DIR": str(data), "PYTHONPATH": str(ROOT / "src")}
    for line in (
        ["create", NAME, "--storage", str(storage)],
        ["ingest", NAME, str(tree), "--at", "/", "--tag", "first"],
        ["ingest", NAME, str(tree), "--at", "/second", "--tag", "second"],
    ):
        subprocess.run([sys.executable, "-m", "outcrop", "repo", *line], env=environment, check=True, timeout=_SECONDS,
                       capture_output=True)  # fmt: skip
    shutil.copy(data / f"{NAME}.pub", directory / f"{NAME}.pub")
    (directory / f"{NAME}.pub").chmod(0o644)
    with RepositoryServer({NAME: storage / NAME}) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield Site(directory, f"http://127.0.0.1:{server.server_port}/{NAME}")
        finally:
            server.shutdown()
            thread.join()
