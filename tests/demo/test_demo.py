"""The demonstration as a user runs it: twice, without a mount, without a sandbox, interrupted, killed, side by side.

One directory serves all tests, as it serves a user: the first test builds, the others find it built.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from outcrop.compat.relocate.elf_image import DT_RPATH, ElfImage
from outcrop.demo.workshop import remove_tree
from outcrop.software.demo_stack import DEMO_REPOSITORY, DEMO_VERSION
from tests.compat.layers import NEEDS_A_RELEASE

pytestmark = [
    pytest.mark.integration,
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    pytest.mark.xdist_group("demo"),
    *NEEDS_A_RELEASE,
]

ENDING = "The stack was built, signed, published, read with every byte verified, loaded and run."


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory with a space and a letter that is not ASCII, in which the demonstration has run once."""
    directory = tmp_path_factory.mktemp("demo") / "work shöp"
    finished = demo(directory, "--json")
    if "cannot be had" in finished.stderr:
        pytest.skip("no mirror of Debian's source packages can be reached")
    assert finished.returncode == 0, finished.stderr
    yield directory
    remove_tree(directory)


def demo(directory: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    with started(directory, *arguments, **environment) as process:
        output, complaint = process.communicate()
    return subprocess.CompletedProcess(process.args, process.returncode, output, complaint)


def started(directory: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "outcrop", "demo", "--directory", str(directory), *arguments]
    return subprocess.Popen(
        command, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def wait_for(process: subprocess.Popen[str], words: str) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        if words in line:
            return
    raise AssertionError(f"it ended without saying {words!r}")


def nothing_is_left(directory: Path) -> bool:
    """Whether no mount, no process and nothing of a single run remains; a moment is given to those who are ending."""
    for _ in range(100):
        mounts = Path("/proc/self/mountinfo").read_text()
        processes = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
        escaped = str(directory).replace(" ", "\\040")
        if escaped not in mounts and str(directory) not in processes:
            return True
        time.sleep(0.1)
    return False


def test_the_first_run_tells_chapters_and_times(workshop: Path) -> None:
    answer: dict[str, Any] = json.loads(demo(workshop, "--json").stdout)
    assert [chapter["title"] for chapter in answer["chapters"]][-1] == "Load and run"
    assert nothing_is_left(workshop)
    assert not (workshop / "run").exists()


def test_the_daemonless_way_says_so_and_gives_the_same_answer(workshop: Path) -> None:
    finished = demo(workshop, "--without-mount")
    assert finished.returncode == 0, finished.stderr
    assert "checked out, every object verified" in finished.stderr
    assert ENDING in finished.stdout


def test_a_second_demonstration_is_told_who_holds_the_directory(workshop: Path) -> None:
    with started(workshop) as first:
        wait_for(first, "Keys and repository")
        second = demo(workshop)
        first.communicate()
    assert first.returncode == 0
    assert second.returncode == 8
    assert f"process {first.pid}" in second.stderr


def test_a_port_in_use_is_said_and_nothing_is_left(workshop: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        finished = demo(workshop, "--port", str(taken.getsockname()[1]))
    assert finished.returncode == 10
    assert "cannot be listened on" in finished.stderr
    assert "--port" in finished.stderr
    assert nothing_is_left(workshop)


@pytest.mark.fault
@pytest.mark.parametrize("words", ["Target of this machine", "Publish", "serves it on this machine", "is mounted at"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["ctrl-c", "kill"])
def test_ended_in_the_middle_it_leaves_nothing_and_runs_again(
    workshop: Path, words: str, number: signal.Signals
) -> None:
    with started(workshop) as process:
        wait_for(process, words)
        process.send_signal(number)
        _, complaint = process.communicate()
    if number == signal.SIGINT:
        assert process.returncode == 130, complaint
        assert "stopped" in complaint
    assert nothing_is_left(workshop)
    again = demo(workshop, "--quiet")
    assert again.returncode == 0, again.stderr


def test_the_program_is_built_on_the_layer_alone(workshop: Path) -> None:
    (program,) = workshop.glob("tree/versions/*/software/linux/**/bin/seqtk")
    image = ElfImage(program.read_bytes())
    prefix = f"/cvmfs/{DEMO_REPOSITORY}/"
    assert (image.interpreter or b"").startswith(f"{prefix}versions/{DEMO_VERSION}/compat/linux/".encode())
    places = [place for path in image.dynamic_strings(DT_RPATH) for place in path.decode().split(":")]
    assert all(place.startswith((prefix, "$ORIGIN")) for place in places)


@pytest.mark.skipif(os.geteuid() != 0, reason="hiding the Lmod of this machine needs root")
def test_the_lmod_of_this_machine_is_not_needed(workshop: Path) -> None:
    hidden = "for place in /usr/share/lmod /usr/share/Lmod; do [ ! -d $place ] || mount -t tmpfs none $place; done"
    command = [
        "unshare",
        "--mount",
        "sh",
        "-c",
        f'{hidden} && exec "$@"',
        "sh",
        sys.executable,
        "-m",
        "outcrop",
        "demo",
    ]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("LMOD_", "MODULE"))}
    ended = subprocess.run(
        [*command, "--directory", str(workshop)], env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert ENDING in ended.stdout


@pytest.mark.skipif(shutil.which("gcc") is None, reason="no C compiler")
@pytest.mark.skipif(not Path("/usr/share/lmod").exists() and not os.environ.get("LMOD_CMD"), reason="no Lmod")
def test_without_a_sandbox_the_stack_is_built_for_a_place_of_its_own(tmp_path: Path, workshop: Path) -> None:
    """No bubblewrap on the search path, so no layer either. Sources are taken from the other run."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for folder in os.environ["PATH"].split(":"):
        for program in Path(folder).glob("*") if Path(folder).is_dir() else ():
            link = programs / program.name
            if program.name != "bwrap" and not link.is_symlink():
                link.symlink_to(program)
    directory = tmp_path / "direct"
    directory.mkdir()
    shutil.copytree(workshop / "sources", directory / "sources")
    finished = demo(directory, PATH=str(programs))
    assert finished.returncode == 0, finished.stderr
    assert "is built for" in finished.stderr
    assert "the Lmod of this machine are used" in finished.stderr
    assert ENDING in finished.stdout
    assert nothing_is_left(directory)


def test_clean_removes_what_runs_leave_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "precious").touch()
    refused = demo(tmp_path / "mine", "--clean")
    assert refused.returncode == 2
    assert (tmp_path / "mine" / "precious").exists()
    (tmp_path / "mine" / "lock").touch()
    assert demo(tmp_path / "mine", "--clean").returncode == 0
    assert not (tmp_path / "mine").exists()
