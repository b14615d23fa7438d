"""Headers that other programs read as what was meant."""

from __future__ import annotations

import io
import stat
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outcrop.client.pack.tar_header import BLOCK_BYTES, RECORD_BYTES, TarMember, can_hold, ending, header, padding
from outcrop.cvmfs.entry import Entry, EntryKind
from outcrop.cvmfs.xattrs import Xattrs

names = st.binary(min_size=1, max_size=300).filter(
    lambda name: not set(name) & {0} and not name.startswith(b"/") and not name.endswith(b"/")
)
moments = st.integers(-(2**33), 2**40)


def read(member: TarMember) -> tarfile.TarInfo:
    """What Python's own reader makes of a header."""
    size = member.entry.size if member.entry.is_file else 0
    data = header(member) + bytes(min(size, BLOCK_BYTES)) + padding(min(size, BLOCK_BYTES))
    with tarfile.open(fileobj=io.BytesIO(data + ending(len(data))), encoding="utf-8", errors="surrogateescape") as file:
        found = file.next()
    assert found is not None
    return found


def raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


@pytest.mark.property
@given(names, names, moments, st.integers(0, 10**9 - 1) | st.none(), st.integers(0, 2**32 - 1), st.integers(0, 0o7777))
def test_links_of_any_name_target_owner_and_time(
    name: bytes, target: bytes, mtime: int, nanoseconds: int | None, uid: int, mode: int
) -> None:
    entry = Entry(
        name=b"", mode=stat.S_IFLNK | mode, symlink=target, mtime=mtime, mtime_ns=nanoseconds, uid=uid, gid=uid // 2
    )
    found = read(TarMember(name, entry))
    assert (raw(found.name), raw(found.linkname)) == (name, target)
    assert (found.uid, found.gid, found.mode, found.type) == (uid, uid // 2, mode, tarfile.SYMTYPE)
    assert found.mtime == pytest.approx(mtime + (nanoseconds or 0) / 10**9)


@pytest.mark.property
@given(st.dictionaries(st.binary(min_size=1, max_size=40), st.binary(max_size=255), max_size=4))
def test_attributes_have_any_value(attributes: dict[bytes, bytes]) -> None:
    plain = {b"user." + bytes(65 + byte % 26 for byte in key): value for key, value in attributes.items()}
    entry = Entry(name=b"", mode=stat.S_IFDIR | 0o755, xattrs=Xattrs.of(plain))
    data = header(TarMember(b"d", entry))
    for key, value in plain.items():
        assert b" SCHILY.xattr.%s=%s\n" % (key, value) in data
    assert len(data) % BLOCK_BYTES == 0


def test_attribute_names_are_written_as_gnu_tar_does() -> None:
    entry = Entry(name=b"", mode=stat.S_IFDIR | 0o755, xattrs=Xattrs.of({b"user.a=b%": b"1", b"user.50%": b"2"}))
    data = header(TarMember(b"d", entry))
    assert b" SCHILY.xattr.user.a%3Db%25=1\n" in data
    assert b" SCHILY.xattr.user.50%=2\n" in data


@pytest.mark.parametrize("size", [0, 1, 512, 8**11 - 1, 8**11, 2**50])
def test_sizes_of_files(size: int) -> None:
    found = read(TarMember(b"f", Entry(name=b"", mode=stat.S_IFREG | 0o644, size=size)))
    assert found.size == size


def test_other_names_of_a_file() -> None:
    entry = Entry(name=b"", mode=stat.S_IFREG | 0o644, size=5)
    found = read(TarMember(b"b", entry, same_file_as=b"a"))
    assert (found.type, found.linkname, found.size) == (tarfile.LNKTYPE, "a", 0)


def test_devices() -> None:
    found = read(TarMember(b"d", Entry(name=b"", mode=stat.S_IFCHR | 0o600, size=(1 << 8) + 3)))
    assert (found.type, found.devmajor, found.devminor) == (tarfile.CHRTYPE, 1, 3)


def test_simple_entries_need_no_extended_header() -> None:
    assert len(header(TarMember(b"f", Entry(name=b"", mode=stat.S_IFREG | 0o644, size=7, mtime=1)))) == BLOCK_BYTES


def test_all_kinds_but_sockets() -> None:
    assert [kind for kind in EntryKind if not can_hold(kind)] == [EntryKind.SOCKET]


@pytest.mark.parametrize("size", [0, 512, RECORD_BYTES - 1024, RECORD_BYTES])
def test_archive_ends_with_a_whole_record(size: int) -> None:
    assert (size + len(ending(size))) % RECORD_BYTES == 0
    assert len(ending(size)) >= 2 * BLOCK_BYTES
