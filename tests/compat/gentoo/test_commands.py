"""What the commands of a build see, and what they leave behind when they fail."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from outcrop.compat.family import this_family
from outcrop.compat.gentoo.commands import Commands, ways_out
from outcrop.compat.gentoo.workplace import Workplace, open_workplace, remove_directory
from outcrop.compat.layout import LayerLayout
from outcrop.cvmfs.names import repository_name
from outcrop.errors import Busy, CommandFailed

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed"),
]

LAYOUT = LayerLayout(repository_name("software.example.org"), "2026.06", this_family())


@pytest.fixture
def work(tmp_path: Path) -> Iterator[Workplace]:
    with open_workplace(tmp_path / "work") as opened:
        yield opened


@pytest.fixture
def commands(work: Workplace) -> Commands:
    made = Commands(LAYOUT, work, network=False, further={})
    made.require_view()
    return made


def shell(commands: Commands, text: str) -> str:
    return commands.require("the shell", "trial", ["sh", "-c", text], commands.host_environment()).strip()


def test_the_tree_is_at_its_prefix_and_the_rest_cannot_be_written(commands: Commands) -> None:
    shell(commands, f"echo here > {LAYOUT.prefix}/file && touch /tmp/file && ! touch /etc/file && ! touch /usr/file")
    assert (commands.work.tree / "file").read_text() == "here\n"
    assert (commands.work.temporary / "file").exists()


def test_the_build_is_one_account_whoever_runs_it(commands: Commands) -> None:
    assert shell(commands, "echo $(id -un) $(id -u) $(id -gn) $(id -g)") == "builder 1000 builder 1000"
    shell(commands, f"test -O {LAYOUT.prefix} && test -G {LAYOUT.prefix}")
    shell(commands, f"touch {LAYOUT.prefix}/file")
    assert (commands.work.tree / "file").stat().st_uid == os.getuid()


def test_the_environment_is_what_is_named(commands: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", "/nowhere")
    names = {line.partition("=")[0] for line in shell(commands, "env").splitlines()}
    assert names - {"PWD", "_", "SHLVL"} == {"PATH", "HOME", "USER", "LOGNAME", "SHELL", "TERM", "LC_ALL"}


def test_programs_of_the_prefix_go_before_the_machine_s(commands: Commands) -> None:
    environment = commands.own_environment()
    assert environment["PATH"].split(":")[:2] == [f"{LAYOUT.prefix}/usr/sbin", f"{LAYOUT.prefix}/usr/bin"]
    assert environment["EPREFIX"] == str(LAYOUT.prefix)


def test_mirrors_and_proxies_are_handed_on() -> None:
    environment = {"https_proxy": "http://proxy:3128", "NO_PROXY": "localhost", "CFLAGS": "-O3"}
    assert ways_out(("https://a", "https://b"), environment) == {
        "GENTOO_MIRRORS": "https://a https://b",
        "https_proxy": "http://proxy:3128",
        "NO_PROXY": "localhost",
    }
    assert ways_out((), {}) == {}
    assert ways_out(("file:///data/m",), {}) == {"GENTOO_MIRRORS": "/data/m /data/m/distfiles"}


def test_a_command_that_fails_is_told_by_its_last_words_and_its_log(commands: Commands) -> None:
    with pytest.raises(CommandFailed) as failed:
        shell(commands, "echo begun; echo no room >&2; exit 3")
    assert failed.value.message == "the shell failed: begun / no room"
    assert str(commands.work.log("trial")) in failed.value.hint
    assert commands.work.log("trial").read_text() == "begun\nno room\n"


def test_attempts_follow_each_other_in_the_log(commands: Commands) -> None:
    assert shell(commands, "echo one") == "one"
    assert shell(commands, "echo two") == "two"
    assert commands.work.log("trial").read_text() == "one\ntwo\n"


def test_a_workplace_is_for_one_process(work: Workplace) -> None:
    with pytest.raises(Busy, match="another build of this layer"), open_workplace(work.directory):
        pass


def test_what_its_owner_may_not_write_is_removed_all_the_same(tmp_path: Path) -> None:
    place = tmp_path / "cache/module@v1"
    place.mkdir(parents=True)
    (place / "file").write_text("x")
    (tmp_path / "cache/link").symlink_to("/nowhere")
    place.chmod(0o500)
    (tmp_path / "cache").chmod(0o500)
    remove_directory(tmp_path / "cache")
    remove_directory(tmp_path / "cache")
    assert not (tmp_path / "cache").exists()
