"""What every store promises, as one suite: a class of tests to derive from for each kind of place.

A test module derives from `ReadableConformance` or `WritableConformance` and gives the fixtures: `store`, the empty
store under test, and for one that can only be read `place`, which puts an object there behind its back.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.objects import MANIFEST_NAME, ObjectKind, ObjectName
from outcrop.errors import NotFound, OutcropError, StorageError
from outcrop.storage.interface import PIECE_BYTES, ReadableStore, Wanted, WritableStore

Place = Callable[[str, bytes], object]
"""Puts an object with these bytes under this name."""


def name_of(data: bytes, kind: ObjectKind = ObjectKind.FILE) -> str:
    """The name under which an object of these bytes lies."""
    return ObjectName(Digest.of(data), kind).path


@dataclass
class Collected:
    """A sink that keeps what it takes in, piece by piece."""

    pieces: list[bytes] = field(default_factory=list)

    def write(self, piece: bytes, /) -> None:
        self.pieces.append(bytes(piece))

    @property
    def data(self) -> bytes:
        return b"".join(self.pieces)


class Refusing:
    """A sink that raises, as one does whose disk is full."""

    def write(self, piece: bytes, /) -> None:
        raise StorageError(what="the sink", problem=f"does not take {len(piece)} bytes")


LARGE = bytes(range(256)) * (2 * PIECE_BYTES // 256) + b"end"


class ReadableConformance:
    """What holds for every place that objects are read from."""

    @pytest.mark.parametrize("data", [b"", b"x", b"\0\r\n\xff" * 1000, LARGE], ids=len)
    def test_what_is_there_is_read(self, store: ReadableStore, place: Place, data: bytes) -> None:
        place(name_of(data), data)
        assert store.read(name_of(data)) == data
        assert store.exists(name_of(data))

    def test_the_same_name_is_read_again_and_again(self, store: ReadableStore, place: Place) -> None:
        place(name_of(b"x"), b"x")
        assert [store.read(name_of(b"x")) for _ in range(3)] == [b"x"] * 3

    def test_what_is_not_there_is_not_found(self, store: ReadableStore) -> None:
        for name in (name_of(b"not there"), MANIFEST_NAME):
            assert not store.exists(name)
            with pytest.raises(NotFound) as caught:
                store.read(name)
            assert name in caught.value.message
            assert store.address in caught.value.message

    def test_an_object_of_exactly_the_limit_is_read(self, store: ReadableStore, place: Place) -> None:
        place(name_of(b"12345"), b"12345")
        assert store.read(name_of(b"12345"), limit=5) == b"12345"

    @pytest.mark.parametrize("limit", [0, 4])
    def test_an_object_over_the_limit_is_refused(self, store: ReadableStore, place: Place, limit: int) -> None:
        place(name_of(b"12345"), b"12345")
        with pytest.raises(OutcropError, match=str(limit)):
            store.read(name_of(b"12345"), limit=limit)

    def test_many_objects_are_fetched_and_each_is_told_of_once(self, store: ReadableStore, place: Place) -> None:
        contents = [b"", b"x", LARGE, *(b"%d" % number for number in range(50))]
        for data in contents:
            place(name_of(data), data)
        wanted = [Wanted(name_of(data), Collected()) for data in contents]
        fetched = list(store.fetch(iter(wanted)))
        assert [one.error for one in fetched] == [None] * len(contents)
        assert sorted(one.wanted.name for one in fetched) == sorted(one.name for one in wanted)
        assert [sink_data(one) for one in wanted] == contents

    def test_large_objects_come_in_pieces(self, store: ReadableStore, place: Place) -> None:
        place(name_of(LARGE), LARGE)
        sink = Collected()
        assert [one.error for one in store.fetch([Wanted(name_of(LARGE), sink)])] == [None]
        assert max(len(piece) for piece in sink.pieces) <= PIECE_BYTES

    def test_a_fetch_that_fails_does_not_disturb_the_others(self, store: ReadableStore, place: Place) -> None:
        for data in (b"one", b"two", b"three"):
            place(name_of(data), data)
        one, three = Collected(), Collected()
        wanted = [
            Wanted(name_of(b"one"), one),
            Wanted(name_of(b"not there"), Collected()),
            Wanted(name_of(b"two"), Refusing()),
            Wanted(name_of(b"three"), three),
        ]
        errors = {fetched.wanted.name: fetched.error for fetched in store.fetch(wanted)}
        assert (one.data, three.data) == (b"one", b"three")
        assert errors[name_of(b"one")] is errors[name_of(b"three")] is None
        assert isinstance(errors[name_of(b"not there")], NotFound)
        assert isinstance(errors[name_of(b"two")], StorageError)

    def test_nothing_wanted_is_nothing_fetched(self, store: ReadableStore) -> None:
        assert list(store.fetch([])) == []

    def test_a_fetch_may_be_given_up(self, store: ReadableStore, place: Place) -> None:
        place(name_of(b"x"), b"x")
        running = iter(store.fetch(Wanted(name_of(b"x"), Collected()) for _ in range(10)))
        assert next(running).error is None
        del running
        assert store.read(name_of(b"x")) == b"x"

    def test_many_threads_may_read_at_once(self, store: ReadableStore, place: Place) -> None:
        contents = [b"%d" % number * 1000 for number in range(20)]
        for data in contents:
            place(name_of(data), data)
        wrong: list[object] = []

        def read_all() -> None:
            try:
                wrong.extend(data for data in contents if store.read(name_of(data)) != data)
            except OutcropError as error:
                wrong.append(error)

        run_at_once([read_all] * 4)
        assert wrong == []

    def test_closing_twice_is_harmless(self, store: ReadableStore) -> None:
        store.close()
        store.close()


class WritableConformance(ReadableConformance):
    """What holds for every place that objects are published to."""

    @pytest.fixture
    def place(self, store: WritableStore) -> Place:
        return store.write

    @pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
    def test_any_buffer_is_written(self, store: WritableStore, kind: Callable[[bytes], bytes]) -> None:
        assert store.write(name_of(LARGE), kind(LARGE)) is True
        assert store.read(name_of(LARGE)) == LARGE

    def test_a_buffer_may_be_used_again_after_it_was_written(self, store: WritableStore) -> None:
        buffer = bytearray(b"first")
        store.write(name_of(b"first"), buffer)
        buffer[:] = b"other"
        assert store.read(name_of(b"first")) == b"first"

    def test_an_object_that_is_there_is_not_written_again(self, store: WritableStore) -> None:
        assert store.write(name_of(b"x"), b"x") is True
        assert store.write(name_of(b"x"), b"something else") is False
        assert store.read(name_of(b"x")) == b"x"

    def test_a_name_whose_content_changes(self, store: WritableStore) -> None:
        for data in (b"first", b"the second one", b""):
            store.replace(MANIFEST_NAME, data)
            assert store.read(MANIFEST_NAME) == data

    def test_what_is_removed_is_gone(self, store: WritableStore) -> None:
        store.write(name_of(b"x"), b"x")
        store.remove(name_of(b"x"))
        store.remove(name_of(b"x"))
        assert not store.exists(name_of(b"x"))
        assert store.write(name_of(b"x"), b"x") is True

    def test_names_are_those_of_all_objects(self, store: WritableStore) -> None:
        assert list(store.names()) == []
        names = [name_of(b"%d" % number, kind) for number in range(20) for kind in ObjectKind]
        for name in names:
            store.write(name, b"x")
        store.replace(MANIFEST_NAME, b"no object")
        assert sorted(store.names()) == sorted(names)
        for name in names[:10]:
            store.remove(name)
        assert sorted(store.names()) == sorted(names[10:])

    def test_objects_may_be_removed_while_names_are_listed(self, store: WritableStore) -> None:
        for number in range(20):
            store.write(name_of(b"%d" % number), b"x")
        for name in store.names():
            store.remove(name)
        assert list(store.names()) == []

    def test_syncing_keeps_everything(self, store: WritableStore) -> None:
        store.sync()
        store.write(name_of(b"x"), b"x")
        store.sync()
        assert store.read(name_of(b"x")) == b"x"

    def test_there_are_no_leftovers_of_what_went_well(self, store: WritableStore) -> None:
        store.write(name_of(b"x"), b"x")
        store.write(name_of(b"x"), b"x")
        store.replace(MANIFEST_NAME, b"y")
        assert store.discard_leftovers() == 0
        assert (store.read(name_of(b"x")), store.read(MANIFEST_NAME)) == (b"x", b"y")

    def test_writers_of_the_same_objects_do_not_disturb_each_other(self, store: WritableStore) -> None:
        contents = [b"%d" % number * 1000 for number in range(50)]
        trouble: list[OutcropError] = []

        def write_all() -> None:
            try:
                for data in contents:
                    store.write(name_of(data), data)
            except OutcropError as error:
                trouble.append(error)

        run_at_once([write_all] * 4)
        assert trouble == []
        assert [store.read(name_of(data)) for data in contents] == contents
        assert store.discard_leftovers() == 0

    def test_a_reader_sees_the_old_bytes_or_the_new_ones(self, store: WritableStore) -> None:
        versions = [b"%d" % number * 100_000 for number in range(5)]
        store.replace(MANIFEST_NAME, versions[0])
        seen: set[bytes] = set()
        done = threading.Event()

        def read_on() -> None:
            while not done.is_set():
                seen.add(store.read(MANIFEST_NAME))

        def replace_all() -> None:
            for version in versions * 3:
                store.replace(MANIFEST_NAME, version)
            done.set()

        run_at_once([read_on, replace_all])
        assert seen <= set(versions)


def sink_data(wanted: Wanted) -> bytes:
    assert isinstance(wanted.sink, Collected)
    return wanted.sink.data


def run_at_once(pieces: list[Callable[[], None]]) -> None:
    """Runs every piece in a thread of its own, and waits for all."""
    threads = [threading.Thread(target=piece) for piece in pieces]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
