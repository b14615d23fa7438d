"""The rendered shell files, before anything runs them."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from outcrop.errors import InvalidValue
from outcrop.init.render import EXECUTED_MODE, SOURCED_MODE, InitSettings, RenderedFile, render_init

from .conftest import require_program

EESSI = InitSettings(repository="software.eessi.io", version="2025.06")
OTHER = InitSettings(
    repository="dev.example.org/project", version="demo-1", name="Rocks 2", prefix="ROCKS_", mount_root="/srv/cvmfs"
)


def text_of(stack: InitSettings) -> str:
    return "".join(rendered.content.decode() for rendered in render_init(stack))


def test_the_files_lie_in_the_init_directory_of_their_version() -> None:
    assert [(str(rendered.path), rendered.mode) for rendered in render_init(EESSI)] == [
        ("versions/2025.06/init/bash", SOURCED_MODE),
        ("versions/2025.06/init/eessi_environment_variables", SOURCED_MODE),
        ("versions/2025.06/init/eessi_archdetect.sh", EXECUTED_MODE),
    ]


@pytest.mark.parametrize("stack", [EESSI, OTHER], ids=lambda stack: stack.name)
def test_nothing_of_the_templates_is_left_open(stack: InitSettings) -> None:
    assert not re.search(r"@[A-Z_]+@|STACK_|__stack_", text_of(stack))


def test_another_stack_has_its_own_names() -> None:
    text = text_of(OTHER)
    assert not re.search(r"EESSI_|__eessi_", text)
    assert "Environment set up to use Rocks 2 ($ROCKS_VERSION), have fun!" in text
    assert "/srv/cvmfs/dev.example.org/project" in text


@pytest.mark.parametrize(
    "fields",
    [
        {"repository": "a b"},
        {"repository": "../x"},
        {"version": "2025.06; rm -rf /"},
        {"version": "../x"},
        {"name": "$(id)"},
        {"name": "it's"},
        {"prefix": "eessi_"},
        {"prefix": "EESSI"},
        {"mount_root": "cvmfs"},
        {"lmod_places": ("/opt/my lmod/init/bash",)},
    ],
)
def test_settings_that_would_change_the_shell_code_are_refused(fields: dict[str, str]) -> None:
    with pytest.raises(InvalidValue, match="cannot stand in a shell file"):
        InitSettings(**{"repository": "software.example.org", "version": "1", **fields})  # type: ignore[arg-type]


NEWER_THAN_BASH_4_2 = re.compile(
    r"local -n|declare -n|\$\{[a-zA-Z_]+@|mapfile -d|readarray -d|wait -n|\[-[0-9]+\]|local -(?:\s|$)|&>>|EPOCH|BASHPID"
)


@pytest.mark.parametrize("rendered", render_init(EESSI), ids=lambda rendered: rendered.path.name)
def test_no_syntax_is_newer_than_bash_4_2(rendered: RenderedFile) -> None:
    assert not NEWER_THAN_BASH_4_2.search(rendered.content.decode())


@pytest.mark.integration
@pytest.mark.parametrize("stack", [EESSI, OTHER], ids=lambda stack: stack.name)
def test_shellcheck_has_nothing_to_say(stack: InitSettings, tmp_path: Path) -> None:
    shellcheck = require_program("shellcheck")
    for rendered in render_init(stack):
        path = tmp_path / rendered.path.name
        path.write_bytes(rendered.content)
        said = subprocess.run([shellcheck, "--shell=bash", str(path)], capture_output=True, text=True, check=False)
        assert said.stdout == ""
