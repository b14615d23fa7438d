"""Where things are kept follows the environment, and is never a guess."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from outcrop.directories import cache_directory, config_directory, data_directory, located, state_directory
from outcrop.errors import InvalidValue

Directory = Callable[[Mapping[str, str]], Path]

DIRECTORIES: dict[str, tuple[Directory, str]] = {
    "data": (data_directory, ".local/share"),
    "config": (config_directory, ".config"),
    "cache": (cache_directory, ".cache"),
    "state": (state_directory, ".local/state"),
}
_AS_UNKNOWN_USER = """
import os
from outcrop.directories import data_directory
from outcrop.errors import InvalidValue
user = 2**31 - 7
os.setresuid(user, user, user)
os.environ.pop("HOME", None)
try:
    data_directory({})
except InvalidValue as error:
    print(error, error.hint)
"""


@pytest.mark.parametrize("kind", DIRECTORIES)
def test_ours_comes_before_that_of_everybody_and_the_home(kind: str) -> None:
    directory, below_home = DIRECTORIES[kind]
    environment = {"HOME": "/users/u"}
    assert directory(environment) == Path("/users/u", below_home, "outcrop")
    environment[f"XDG_{kind.upper()}_HOME"] = "/xdg"
    assert directory(environment) == Path("/xdg/outcrop")
    environment[f"OUTCROP_{kind.upper()}_DIR"] = "/ours"
    assert directory(environment) == Path("/ours")


@pytest.mark.parametrize("kind", DIRECTORIES)
def test_tilde_is_the_home_that_no_shell_filled_in(kind: str) -> None:
    environment = {"HOME": "/users/u", f"OUTCROP_{kind.upper()}_DIR": "~/ours"}
    assert DIRECTORIES[kind][0](environment) == Path("/users/u/ours")


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ("~", "/users/u"),
        ("~//x", "/users/u/x"),
        ("/a/~/x", "/a/~/x"),
        ("./~/x", f"{os.getcwd()}/~/x"),
        ("x~", f"{os.getcwd()}/x~"),
        ("~root/x", f"{os.path.expanduser('~root')}/x"),
    ],
)
def test_what_a_user_wrote_is_a_place(given: str, path: str) -> None:
    assert located(given, {"HOME": "/users/u"}) == Path(path)


def test_home_of_somebody_unknown_is_refused() -> None:
    with pytest.raises(InvalidValue, match="home directory that nobody knows") as caught:
        located("~no such user/x", {"HOME": "/users/u"})
    assert caught.value.hint


@pytest.mark.parametrize("kind", DIRECTORIES)
@pytest.mark.parametrize("home", ["~", "home/u"])
def test_a_home_that_is_no_place_is_refused(kind: str, home: str) -> None:
    with pytest.raises(InvalidValue, match="the home directory is not known") as raised:
        DIRECTORIES[kind][0]({"HOME": home, f"XDG_{kind.upper()}_HOME": "relative"})
    assert f"OUTCROP_{kind.upper()}_DIR" in raised.value.hint


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become a user whom the machine does not know")
def test_a_user_whom_nobody_knows_hears_what_to_set() -> None:
    ended = subprocess.run([sys.executable, "-c", _AS_UNKNOWN_USER], capture_output=True, text=True, check=True)
    assert "does not know this user" in ended.stdout
    assert "export HOME=/DIRECTORY" in ended.stdout
