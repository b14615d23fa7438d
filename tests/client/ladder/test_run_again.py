"""A run that is known starts at once, and only as long as the long way would find the same."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import pytest

from outcrop.client.ladder import run_again
from outcrop.client.ladder.copy_contents import look_next_time
from outcrop.client.ladder.launch import PREFIX_VARIABLE, WAY_VARIABLE
from outcrop.client.ladder.relocated import contents_of
from outcrop.client.ladder.run_again import KnownRun, become_known, keep
from outcrop.client.ladder.surroundings import surroundings
from outcrop.client.stamps import stamp_of
from tests.client.ladder.site import NAME, ROOT, Site

PROGRAM = f"/cvmfs/{NAME}/bin/show"
WORDS = ["--key", "k", str(NAME), "--", PROGRAM, "--all"]
NOW = 1_000_000.0


class _BecameError(Exception):
    """Thrown instead of becoming a command."""


@dataclass
class Machine:
    """Two copies, a proof and a memory of them."""

    directory: Path
    environment: dict[str, str]
    seen: str = ""
    now: float = NOW
    became: list[tuple[Sequence[str], Mapping[str, str]]] = field(default_factory=list)

    @property
    def proof(self) -> Path:
        return self.directory / "proof"

    @property
    def place(self) -> Path:
        return self.directory / "short" / "place"

    @property
    def copy(self) -> Path:
        return self.directory / "copy"

    @property
    def kept(self) -> list[Path]:
        return list((self.directory / "state" / "runs").iterdir())

    def keep(self, words: Sequence[str] = WORDS) -> None:
        files = {str(self.proof): stamp_of(self.proof)}
        variables = {name: self.environment.get(name) for name in ("ARCH", "SITE")}
        known = KnownRun(
            f"/cvmfs/{NAME}", str(self.place), str(self.copy), files, variables, NOW - 10, NOW + 10, self.seen
        )
        keep(words, known, str(self.directory / "state"), self.environment)

    def is_known(self, words: Sequence[str] = WORDS) -> bool:
        try:
            become_known(words, self.environment, lambda: self.now)
        except _BecameError:
            return True
        return False


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine(tmp_path, {"OUTCROP_STATE_DIR": str(tmp_path / "state"), "ARCH": "zen4", "HOME": "/home"})
    made.place.mkdir(parents=True)
    made.copy.mkdir()
    made.proof.write_text("proof")

    def become(command: Sequence[str], environment: Mapping[str, str]) -> NoReturn:
        made.became.append((command, environment))
        raise _BecameError

    monkeypatch.setattr(run_again, "become", become)
    return made


def test_words_that_come_again_start_the_program_in_its_new_place(machine: Machine) -> None:
    machine.environment["PATH"] = f"/cvmfs/{NAME}/bin:/bin"
    machine.keep()
    assert machine.is_known([*WORDS[:-1], f"/cvmfs/{NAME}/x", "--few"])
    ((command, environment),) = machine.became
    assert command == [f"{machine.place}/bin/show", f"{machine.place}/x", "--few"]
    assert environment[PREFIX_VARIABLE] == str(machine.place)
    assert environment[WAY_VARIABLE] == "relocated"
    assert environment["PATH"] == f"{machine.place}/bin:/bin"


def test_nothing_is_known_at_first(machine: Machine) -> None:
    assert not machine.is_known()
    assert not machine.is_known([])
    assert not machine.is_known(["--help"])
    assert not machine.is_known(["repo", "--"])


@pytest.mark.parametrize(
    "words",
    [
        ["--key", "other", str(NAME), "--", PROGRAM, "--all"],
        ["--explain", "--key", "k", str(NAME), "--", PROGRAM, "--all"],
        ["--key", "k", str(NAME), "--", "sh", "--all"],
        [str(NAME), "--", PROGRAM, "--all"],
    ],
    ids=["another option", "one more option", "another program", "one option less"],
)
def test_other_words_are_another_run(machine: Machine, words: list[str]) -> None:
    machine.keep()
    assert not machine.is_known(words)


def _touch_proof(machine: Machine) -> None:
    machine.proof.write_text("another proof")


def _set(name: str, value: str) -> Callable[[Machine], object]:
    return lambda machine: machine.environment.update({name: value})


def _at(now: float) -> Callable[[Machine], object]:
    return lambda machine: setattr(machine, "now", now)


CHANGES: dict[str, Callable[[Machine], object]] = {
    "the proof is another": _touch_proof,
    "the proof is gone": lambda machine: machine.proof.unlink(),
    "the copy is gone": lambda machine: machine.copy.rmdir(),
    "the relocated copy is gone": lambda machine: machine.place.rmdir(),
    "others may write beside it": lambda machine: machine.place.parent.chmod(0o777),
    "a link's variable is another": _set("ARCH", "zen5"),
    "a link's variable is set": _set("SITE", "here"),
    "a setting is another": _set("OUTCROP_RUN_WAY", "checkout"),
    "the home directory is another": _set("HOME", "/other"),
    "the time is up": _at(NOW + 10),
    "the clock was turned back": _at(NOW - 11),
    "the memory is cut off": lambda machine: machine.kept[0].write_bytes(machine.kept[0].read_bytes()[:-30]),
    "the memory is rubbish": lambda machine: machine.kept[0].write_bytes(b"\xff\0\0" * 9),
    "the memory is empty": lambda machine: machine.kept[0].write_bytes(b""),
    "the memory is of another form": lambda machine: machine.kept[0].write_bytes(
        b"1\x002" + machine.kept[0].read_bytes()[3:]
    ),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_it_is_void_when_something_changes(machine: Machine, change: Callable[[Machine], object]) -> None:
    machine.keep()
    assert machine.is_known()
    change(machine)
    assert not machine.is_known()


def test_it_is_another_run_in_another_directory(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.keep()
    monkeypatch.chdir(machine.directory)
    assert not machine.is_known()


def test_it_is_void_in_other_surroundings_where_no_way_was_asked_for(machine: Machine) -> None:
    machine.seen = surroundings(machine.environment)
    machine.keep()
    assert machine.is_known()
    machine.environment["PATH"] = "/somewhere/else"
    assert not machine.is_known()


def test_a_mount_that_is_there_by_now_comes_first(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.seen = surroundings(machine.environment)
    machine.keep()
    monkeypatch.setattr(os.path, "ismount", lambda place: place == f"/cvmfs/{NAME}")
    assert not machine.is_known()


def test_what_cannot_be_kept_is_not(machine: Machine) -> None:
    (machine.directory / "state").write_bytes(b"")
    machine.keep()
    assert not machine.is_known()


def test_old_ones_go(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_again, "_KEPT_FILES", 3)
    for number in range(5):
        machine.keep([f"repo{number}", "--", "true"])
        os.utime(machine.kept[0], (0, 0))
    assert len(machine.kept) <= 4


@pytest.fixture
def short() -> Iterator[Path]:
    """A directory with a name that is shorter than the repository's."""
    made = Path(tempfile.mkdtemp(prefix="r", dir="/tmp"))
    yield made
    shutil.rmtree(made)


@pytest.mark.integration
@pytest.mark.xdist_group("ladder")
def test_second_run_reads_no_command_line(site: Site, tmp_path: Path, short: Path) -> None:
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("OUTCROP_")},
        **{f"OUTCROP_{kind.upper()}_DIR": str(tmp_path / kind) for kind in ("data", "config", "cache", "state")},
        "OUTCROP_CVMFS_ETC": "",
        "PYTHONPATH": str(ROOT / "src"),
        "PYTHONPROFILEIMPORTTIME": "1",
    }
    key = str(site.directory / f"{NAME}.pub")

    def run(*command: str) -> tuple[str, bool]:
        """What the command says, and whether the command line was read."""
        line = ["run", "--way", "relocated", "--relocate-to", str(short), "--key", key, site.url, "--", *command]
        ended = subprocess.run(
            [sys.executable, "-m", "outcrop", *line], env=environment, capture_output=True, text=True, check=True
        )
        return ended.stdout, " click" in ended.stderr

    said = "Hello from the repository\n"
    assert run(f"/cvmfs/{NAME}/bin/cat", f"/cvmfs/{NAME}/greeting") == (said, True)
    assert run(f"/cvmfs/{NAME}/bin/cat", f"/cvmfs/{NAME}/greeting") == (said, False)
    assert run(f"/cvmfs/{NAME}/bin/cat", f"/cvmfs/{NAME}/second/greeting") == (said, False)
    assert run("sh", "-c", "echo $OUTCROP_RUN_WAY") == ("relocated\n", True)
    # A relocated copy that somebody wrote to is found out by the next look, and another one is made.
    (place,) = (path for path in short.iterdir() if path.is_dir())
    (place / "greeting").write_text("Hello from a thief\n")
    assert run(f"/cvmfs/{NAME}/bin/cat", f"/cvmfs/{NAME}/greeting") == ("Hello from a thief\n", False)
    look_next_time(contents_of(place))
    shutil.rmtree(tmp_path / "state" / "runs")
    assert run(f"/cvmfs/{NAME}/bin/cat", f"/cvmfs/{NAME}/greeting") == (said, True)
    assert run(f"/cvmfs/{NAME}/bin/cat", f"/cvmfs/{NAME}/greeting") == (said, False)
    # Whoever changes the configuration is heard at once.
    (tmp_path / "config").mkdir(exist_ok=True)
    (tmp_path / "config" / "config.toml").write_text("")
    assert run(f"/cvmfs/{NAME}/bin/cat", f"/cvmfs/{NAME}/greeting") == (said, True)
