"""Making, keeping and finding the libraries. The compiler is a script that writes down that it was called."""

from __future__ import annotations

from pathlib import Path

import pytest

from outcrop.client.preload.library import SITE_VARIABLE, Workshop, why_compiler_fails
from outcrop.errors import MissingCapability, StorageError

_COMPILER = """#!/bin/sh
echo called >> "$(dirname "$0")/calls"
while [ "$1" != -o ]; do shift; done
echo library > "$2"
"""
_BROKEN = "#!/bin/sh\necho 'x.c:1:10: fatal error: errno.h: No such file or directory' >&2\nexit 1\n"


def compiler_in(directory: Path, text: str = _COMPILER) -> Path:
    directory.mkdir()
    path = directory / "cc"
    path.write_text(text)
    path.chmod(0o755)
    return path


def workshop(tmp_path: Path, text: str = _COMPILER) -> Workshop:
    compiler = compiler_in(tmp_path / "bin", text)
    return Workshop(tmp_path / "preload", None, compiler)


def calls(tmp_path: Path) -> int:
    return len((tmp_path / "bin" / "calls").read_text().splitlines())


def test_libraries_are_made_once(tmp_path: Path) -> None:
    first = workshop(tmp_path)
    assert first.find() is None
    made = first.make()
    assert made.calls.is_file()
    assert made.loader.is_file()
    assert first.make() == first.find() == made
    assert calls(tmp_path) == 2


def test_another_compiler_makes_libraries_of_its_own(tmp_path: Path) -> None:
    made = workshop(tmp_path).make()
    other = Workshop(tmp_path / "preload", None, compiler_in(tmp_path / "other"))
    assert other.find() is None
    assert other.make() != made


def test_without_a_compiler_those_of_another_machine_are_taken(tmp_path: Path) -> None:
    made = workshop(tmp_path).make()
    assert Workshop(tmp_path / "preload", None, None).make() == made


def test_a_site_can_name_a_directory_with_libraries(tmp_path: Path) -> None:
    made = workshop(tmp_path).make()
    found = Workshop.of(tmp_path / "empty", {SITE_VARIABLE: str(tmp_path / "preload"), "PATH": "/nowhere"})
    assert found.compiler is None
    assert found.make() == made
    assert not (tmp_path / "empty").exists()


def test_without_compiler_and_library_it_is_said_what_to_type(tmp_path: Path) -> None:
    with pytest.raises(MissingCapability, match="there is no C compiler") as caught:
        Workshop(tmp_path / "preload", None, None).make()
    assert "outcrop run --way preload REPO -- true" in caught.value.hint
    assert SITE_VARIABLE in caught.value.hint
    assert not (tmp_path / "preload").exists()


def test_a_compiler_that_fails_leaves_nothing_and_is_quoted(tmp_path: Path) -> None:
    broken = workshop(tmp_path, _BROKEN)
    with pytest.raises(MissingCapability, match=r"errno\.h: No such file") as caught:
        broken.make()
    assert "libc6-dev" in caught.value.hint
    assert broken.find() is None
    assert [path.name for path in (tmp_path / "preload").iterdir()] == [".lock"]
    assert broken.compiler is not None
    assert why_compiler_fails(broken.compiler) is not None


def test_a_compiler_is_tried_without_leaving_anything(tmp_path: Path) -> None:
    tried = workshop(tmp_path)
    assert tried.compiler is not None
    assert why_compiler_fails(tried.compiler) is None
    assert calls(tmp_path) == 1
    assert not (tmp_path / "preload").exists()


def test_what_others_may_write_to_is_not_loaded(tmp_path: Path) -> None:
    made = workshop(tmp_path).make()
    made.calls.chmod(0o666)
    assert Workshop(tmp_path / "preload", None, None).find() is None
    made.calls.chmod(0o644)
    assert Workshop(tmp_path / "preload", None, None).find() == made
    (tmp_path / "preload").chmod(0o777)
    assert Workshop(tmp_path / "preload", None, None).find() is None


def test_nothing_is_made_where_others_may_write(tmp_path: Path) -> None:
    (tmp_path / "preload").mkdir()
    (tmp_path / "preload").chmod(0o777)
    with pytest.raises(StorageError, match="may be written by others"):
        workshop(tmp_path).make()


def test_an_unfinished_library_is_made_anew(tmp_path: Path) -> None:
    made = workshop(tmp_path).make()
    made.loader.unlink()
    again = Workshop(tmp_path / "preload", None, tmp_path / "bin" / "cc")
    assert again.find() is None
    assert again.make() == made
    assert made.loader.is_file()
