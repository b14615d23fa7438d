from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest

from outcrop.cvmfs.names import RepositoryName
from outcrop.errors import MissingCapability
from outcrop.init.target import Target
from outcrop.software.layout import SoftwareLayout
from outcrop.software.lmod import cache_command, find_lmod, render_lmodrc, require_lmod


def lmod_in(directory: Path) -> Path:
    libexec = directory / "libexec"
    libexec.mkdir(parents=True)
    (libexec / "lmod").touch()
    return libexec


def test_lmod_is_found_by_its_variables_before_the_usual_places(tmp_path: Path) -> None:
    usual, own = lmod_in(tmp_path / "usual"), lmod_in(tmp_path / "own")
    places = [tmp_path / "nothing", tmp_path / "usual"]
    assert find_lmod({}, places) == usual
    assert find_lmod({"LMOD_CMD": str(own / "lmod")}, places) == own
    assert find_lmod({"LMOD_DIR": str(own)}, places) == own
    assert find_lmod({"LMOD_CMD": "/gone/lmod"}, places) == usual


def test_lmod_is_found_next_to_the_program_in_the_path(tmp_path: Path) -> None:
    libexec = lmod_in(tmp_path)
    (libexec / "lmod").chmod(0o755)
    assert find_lmod({"PATH": str(libexec)}, []) == libexec


def test_without_lmod_the_package_is_named(tmp_path: Path) -> None:
    if find_lmod({"PATH": ""}) is not None:
        assert require_lmod({"PATH": ""}).is_dir()
        return
    with pytest.raises(MissingCapability) as caught:
        require_lmod({"PATH": ""})
    assert "apt-get install lmod" in caught.value.hint


def test_the_cache_is_made_and_named_with_the_paths_that_users_see() -> None:
    layout = SoftwareLayout(RepositoryName("s.example.org"), "2026.06", Target.parse("aarch64/a64fx"))
    prefix = "/cvmfs/s.example.org/versions/2026.06/software/linux/aarch64/a64fx"
    command = cache_command(Path("/lmod/libexec"), layout)
    assert command[1:5] == ["-d", f"{prefix}/.lmod/cache", "-t", f"{prefix}/.lmod/cache/timestamp"]
    assert command[5:] == [f"{prefix}/modules/all"]
    text = render_lmodrc([layout.final, PurePosixPath(prefix, "accel/nvidia/cc90")])
    assert f'["dir"] = "{prefix}/.lmod/cache"' in text
    assert f'["timestamp"] = "{prefix}/accel/nvidia/cc90/.lmod/cache/timestamp"' in text
