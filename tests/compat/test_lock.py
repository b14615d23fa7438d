from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from outcrop.compat.debian.archive import ReleaseMetadata, SuiteFacts
from outcrop.compat.debian.packages import PackageIndex
from outcrop.compat.debian.resolve import resolve
from outcrop.compat.lock import (
    FORMAT,
    Lock,
    LockedPackage,
    LockedSuite,
    LockedWheel,
    lock_of,
    makes_the_same,
    read_lock,
    render_lock,
    write_lock,
)
from outcrop.errors import FormatError, NotFound, StorageError
from tests.compat.debian.archive_made_here import index_text
from tests.compat.debian.packages_made_here import MadePackage

DIGEST = "0123456789abcdef" * 4
BASH = LockedPackage(
    name="bash",
    version="5.2.15-2+b7",
    architecture="amd64",
    source="bash",
    source_version="5.2.15-2",
    sha256=DIGEST,
    size=1491064,
    installed=7334912,
    path="pool/main/b/bash/bash_5.2.15-2+b7_amd64.deb",
    needed_by="",
)
SUITE = LockedSuite("bookworm", "12.11", "2026-06-13T08:21:17Z", DIGEST, DIGEST)
LOCK = Lock(
    format=FORMAT,
    release="bookworm",
    family="x86_64",
    sets=("base", "build"),
    suites=(SUITE,),
    left_out=("dpkg",),
    packages=(BASH, msgspec.structs.replace(BASH, name="libc6", needed_by="bash", ships=False)),
)
WHEEL = LockedWheel("archspec", "0.2.7", "archspec-0.2.7-py3-none-any.whl", DIGEST, 87319, ">=3.6", ("rich>=13",))

DIGESTS = st.text("0123456789abcdef", min_size=64, max_size=64)
COUNTS = st.integers(0, 2**53)
PATHS = st.text(st.characters(exclude_characters="/.", exclude_categories=["Cs"]))
DATES = st.datetimes().map(lambda date: f"{date:%Y-%m-%dT%H:%M:%SZ}".zfill(20))
PACKAGES = st.builds(LockedPackage, *(st.text(),) * 5, DIGESTS, COUNTS, COUNTS, PATHS, st.text(), st.booleans())
WHEELS = st.builds(
    LockedWheel, st.just(WHEEL.name), st.just(WHEEL.version), st.just(WHEEL.file), DIGESTS, COUNTS, st.text()
)
SUITES = st.builds(LockedSuite, st.text(), st.text(), DATES, st.text(), st.text())
LOCKS = st.builds(
    Lock,
    st.just(FORMAT),
    st.text(),
    st.text(),
    st.lists(st.text()).map(tuple),
    st.lists(SUITES, max_size=2).map(tuple),
    st.lists(st.text()).map(tuple),
    st.lists(PACKAGES, max_size=3, unique_by=lambda package: package.name).map(tuple),
    st.lists(WHEELS, max_size=1).map(tuple),
)


def written(directory: Path, **changed: object) -> Path:
    """A lock's file, with other values in its outermost fields."""
    document: dict[str, Any] = json.loads(render_lock(LOCK)) | changed
    path = directory / "lock.json"
    path.write_text(json.dumps({name: value for name, value in document.items() if value is not None}))
    return path


def with_package(directory: Path, **changed: object) -> Path:
    """A lock's file with one package, with other values in its fields."""
    package: dict[str, Any] = msgspec.to_builtins(BASH) | changed
    return written(directory, packages=[{name: value for name, value in package.items() if value is not None}])


def test_a_lock_is_read_as_it_was_written(tmp_path: Path) -> None:
    write_lock(LOCK, tmp_path / "lock.json")
    assert read_lock(tmp_path / "lock.json") == LOCK


def test_locks_of_the_same_files_make_the_same_whenever_they_were_signed() -> None:
    later = msgspec.structs.replace(SUITE, date="2026-07-01T00:00:00Z")
    assert makes_the_same(LOCK, msgspec.structs.replace(LOCK, suites=(later,)))
    other = msgspec.structs.replace(BASH, sha256=DIGEST[::-1])
    stays = msgspec.structs.replace(BASH, ships=False)
    for packages in ((other,), (stays,), ()):
        assert not makes_the_same(LOCK, msgspec.structs.replace(LOCK, packages=packages))


def test_a_lock_has_one_package_a_line() -> None:
    lines = render_lock(LOCK).decode().splitlines()
    assert [line.strip().startswith("{") for line in lines if '"sha256"' in line] == [True, True]
    assert json.loads(render_lock(LOCK))["packages"][0]["name"] == "bash"


def test_a_lock_without_packages_is_read_as_it_was_written(tmp_path: Path) -> None:
    lock = msgspec.structs.replace(LOCK, sets=(), suites=(), left_out=(), packages=())
    write_lock(lock, tmp_path / "lock.json")
    assert read_lock(tmp_path / "lock.json") == lock


def test_a_lock_without_wheels_does_not_speak_of_them(tmp_path: Path) -> None:
    # So one of before there were any is read, and written as it was.
    assert b"wheels" not in render_lock(LOCK)
    assert read_lock(written(tmp_path)).wheels == ()


def test_a_lock_has_one_wheel_a_line(tmp_path: Path) -> None:
    lock = msgspec.structs.replace(LOCK, wheels=(WHEEL,))
    write_lock(lock, tmp_path / "lock.json")
    assert read_lock(tmp_path / "lock.json") == lock
    (line,) = [line for line in render_lock(lock).decode().splitlines() if "archspec" in line]
    assert json.loads(line)["needs"] == ["rich>=13"]
    assert lock.all == (*LOCK.packages, WHEEL)


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"sha256": DIGEST[1:]}, "sha256 of archspec is no SHA-256"),
        ({"file": "../archspec-0.2.7-py3-none-any.whl"}, "is not the name of a wheel"),
        ({"file": "archspec-0.2.7-cp311-cp311-linux_x86_64.whl"}, "pure-Python wheels only"),
        ({"version": "0.2.8"}, r"file of archspec is of archspec 0\.2\.7"),
        ({"name": "other"}, r"file of other is of archspec 0\.2\.7"),
        ({"other": 1}, "other"),
    ],
)
def test_a_lock_with_a_bad_wheel_is_refused(tmp_path: Path, changed: dict[str, object], problem: str) -> None:
    with pytest.raises(FormatError, match=problem):
        read_lock(written(tmp_path, wheels=[msgspec.to_builtins(WHEEL) | changed]))


def test_a_lock_that_names_a_wheel_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="wheels have one twice"):
        read_lock(written(tmp_path, wheels=[msgspec.to_builtins(WHEEL)] * 2))


@pytest.mark.property
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(LOCKS)
def test_any_lock_is_read_as_it_was_written(tmp_path: Path, lock: Lock) -> None:
    # What only a reader refuses, such as a date that is none, is not made here by whoever writes a lock.
    dated = msgspec.structs.replace(
        lock, suites=tuple(msgspec.structs.replace(suite, date=SUITE.date) for suite in lock.suites)
    )
    path = tmp_path / "lock.json"
    path.write_bytes(render_lock(dated))
    assert read_lock(path) == dated


def test_a_lock_is_a_function_of_what_was_resolved() -> None:
    packages = [
        MadePackage("bash", "5.2", fields={"Depends": "libc6, dpkg", "Source": "bash (5.1)"}),
        MadePackage("libc6", "2.36"),
        MadePackage("unused"),
    ]
    index = PackageIndex()
    index.add(index_text(packages), "http://deb.example.org")
    moment = datetime(2026, 6, 13, 8, 21, 17, tzinfo=UTC)
    metadata = ReleaseMetadata("bookworm", index, (SuiteFacts("bookworm", "12.11", moment, DIGEST, DIGEST),))
    resolution = resolve(index, ["bash"], ["dpkg", "never"])
    lock = lock_of(metadata, resolution, "x86_64", ["base", "build"], ["bash"])
    assert (lock.format, lock.release, lock.family) == (FORMAT, "bookworm", "x86_64")
    assert (lock.sets, lock.left_out, lock.suites) == (("base", "build"), ("dpkg",), (SUITE,))
    bash, libc = lock.packages
    assert (bash.name, bash.source_version, bash.sha256, bash.size) == (
        "bash",
        "5.1",
        packages[0].sha256,
        len(packages[0].data),
    )
    assert (bash.needed_by, bash.ships, libc.needed_by, libc.ships) == ("", True, "bash", False)
    assert lock.package("libc6") == libc
    assert lock.package("dpkg") is None
    assert render_lock(lock) == render_lock(
        lock_of(replace(metadata), resolution, "x86_64", ["base", "build"], ["bash"])
    )


@pytest.mark.parametrize("number", [0, 2, -1])
def test_a_lock_of_an_unknown_format_is_refused(tmp_path: Path, number: int) -> None:
    with pytest.raises(FormatError, match=rf"format is {number}; this Outcrop reads {FORMAT}"):
        read_lock(written(tmp_path, format=number))


@pytest.mark.parametrize(
    "digest", ["", DIGEST[1:], DIGEST + "0", DIGEST.upper(), "g" * 64, "../" * 21 + "x", f"{DIGEST[1:]}\n"]
)
def test_a_lock_with_a_bad_digest_is_refused(tmp_path: Path, digest: str) -> None:
    with pytest.raises(FormatError, match="sha256 of bash is no SHA-256"):
        read_lock(with_package(tmp_path, sha256=digest))


@pytest.mark.parametrize("path", ["/etc/passwd", "../../x.deb", "pool/../../x.deb"])
def test_a_lock_with_a_path_out_of_the_archive_is_refused(tmp_path: Path, path: str) -> None:
    # As it is in an index.
    with pytest.raises(FormatError, match="bash"):
        read_lock(with_package(tmp_path, path=path))


def test_a_lock_that_names_a_package_twice_is_refused(tmp_path: Path) -> None:
    package = msgspec.to_builtins(BASH)
    with pytest.raises(FormatError, match="bash"):
        read_lock(written(tmp_path, packages=[package, package]))


@pytest.mark.parametrize("date", ["", "yesterday", "2026-06-33T00:00:00Z"])
def test_a_lock_with_a_date_that_is_none_is_refused(tmp_path: Path, date: str) -> None:
    # A build gives files the newest of these as their time.
    suite = msgspec.to_builtins(SUITE) | {"date": date}
    with pytest.raises(FormatError, match="date"):
        read_lock(written(tmp_path, suites=[suite]))


@pytest.mark.parametrize("field", ["name", "version", "sha256", "size", "path", "needed_by"])
def test_a_lock_without_a_field_is_refused(tmp_path: Path, field: str) -> None:
    with pytest.raises(FormatError, match=field):
        read_lock(with_package(tmp_path, **{field: None}))


@pytest.mark.parametrize("field", ["format", "release", "family", "sets", "suites", "left_out", "packages"])
def test_a_lock_without_one_of_its_parts_is_refused(tmp_path: Path, field: str) -> None:
    with pytest.raises(FormatError, match=field):
        read_lock(written(tmp_path, **{field: None}))


@pytest.mark.parametrize("changed", [{"other": 1}, {"sets": "base"}, {"packages": {}}, {"format": "1"}])
def test_a_lock_with_something_else_is_refused(tmp_path: Path, changed: dict[str, object]) -> None:
    with pytest.raises(FormatError, match=next(iter(changed))):
        read_lock(written(tmp_path, **changed))


@pytest.mark.parametrize(
    "data", [b"", b"{", b"rubbish", b"[]", b"\xff\xfe", render_lock(LOCK)[:-9], render_lock(LOCK) * 2]
)
def test_a_rubbish_lock_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "lock.json"
    path.write_bytes(data)
    with pytest.raises(FormatError, match=r"lock\.json"):
        read_lock(path)


def test_a_lock_that_is_not_there_is_told_with_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"lock\.json") as raised:
        read_lock(tmp_path / "lock.json")
    assert "compat plan --lock" in raised.value.hint


def test_a_place_that_takes_no_lock_is_told(tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        write_lock(LOCK, tmp_path / "none" / "lock.json")
