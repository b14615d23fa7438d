"""The FUSE protocol's structures."""

from __future__ import annotations

import stat

import pytest

from outcrop.client.mount import protocol
from outcrop.client.mount.protocol import Attributes, InitFlag, InitRequest, Room
from outcrop.errors import FormatError
from tests.client.mount.fake_kernel import init_body


def test_structures_have_the_lengths_of_the_kernels() -> None:
    assert protocol.IN_HEADER.size == 40
    assert protocol.OUT_HEADER.size == 16
    assert protocol.INIT_OUT.size == 64
    assert protocol.ENTRY_OUT.size == 128
    assert protocol.DIRENTPLUS.size == 152
    assert protocol.STATFS_OUT.size == 80
    assert len(protocol.attributes_reply(bytes(128))) == 104


def test_records_read_back() -> None:
    attributes = Attributes(stat.S_IFREG | 0o644, size=1, nlink=1)
    names = [b"a", b"seven77", b"eight888", "ü".encode(), b"\xe9" * 255]
    run = b"".join(protocol.directory_record(5 + n, attributes, name, n + 1) for n, name in enumerate(names))
    records = list(protocol.parse_records(run))
    assert [record.name for record in records] == names
    assert [record.node for record in records] == [record.inode for record in records] == [5, 6, 7, 8, 9]
    assert [record.cookie for record in records] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("length", range(1, 20))
def test_records_end_on_a_multiple_of_eight_bytes(length: int) -> None:
    record = protocol.directory_record(2, Attributes(stat.S_IFREG), b"n" * length, 1)
    assert len(record) % 8 == 0
    assert len(record) - protocol.NAME_OFFSET - length < 8


def test_times_before_1970_are_kept() -> None:
    record = protocol.directory_record(2, Attributes(stat.S_IFREG, mtime=-5, mtime_ns=9), b"old", 1)
    fields = protocol.ENTRY_OUT.unpack_from(record)
    assert fields[10] == 2**64 - 5
    assert fields[13] == 9


def test_sizes_come_with_blocks_of_512_bytes() -> None:
    record = protocol.directory_record(2, Attributes(stat.S_IFREG, size=513), b"x", 1)
    assert protocol.ENTRY_OUT.unpack_from(record)[7:9] == (513, 2)


def test_init_agrees_only_to_what_both_sides_want() -> None:
    offer = InitRequest.parse(init_body(flags=InitFlag.ASYNC_READ | InitFlag.READDIRPLUS_AUTO))
    fields = protocol.INIT_OUT.unpack(protocol.init_reply(offer))
    assert fields[:2] == (7, 38)
    assert fields[3] == InitFlag.ASYNC_READ


def test_flags_that_nobody_knows_yet_are_no_error() -> None:
    assert InitRequest.parse(init_body(flags=2**32 - 1)).flags == sum(InitFlag)


def test_kernel_of_a_later_major_version_is_told_ours() -> None:
    fields = protocol.INIT_OUT.unpack(protocol.init_reply(InitRequest.parse(init_body(major=8, minor=1))))
    assert fields[:2] == (7, 38)
    assert not any(fields[2:])


@pytest.mark.parametrize("body", [b"", bytes(15), init_body(minor=22), init_body(major=6)])
def test_init_of_an_ancient_kernel_is_refused(body: bytes) -> None:
    with pytest.raises(FormatError):
        InitRequest.parse(body)


def test_request_header_that_is_cut_off_is_refused() -> None:
    with pytest.raises(FormatError):
        protocol.RequestHeader.parse(bytes(39))


def test_devices_are_numbered_as_the_kernel_does() -> None:
    assert protocol.device_number(7, 0) == 0x700
    assert protocol.device_number(1, 0x12345) == 0x45 | 1 << 8 | 0x12300 << 12


def test_a_full_file_system_has_no_room() -> None:
    fields = protocol.STATFS_OUT.unpack(protocol.statfs_reply(Room(file_bytes=4097, entries=12)))
    assert fields == (2, 0, 0, 12, 0, 4096, 255, 4096, 0)
