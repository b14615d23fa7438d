"""The store that fails on purpose fails where it is told to, and nowhere else."""

from __future__ import annotations

import pytest

from outcrop.errors import NetworkError, OutcropError, StorageError
from outcrop.storage.faulty import FaultyStore, fail_at
from outcrop.storage.interface import Wanted
from outcrop.storage.memory import MemoryStore
from tests.storage.conformance import Collected

FAULT = StorageError(what="the disk", problem="is full")


def test_the_nth_operation_fails() -> None:
    store = FaultyStore(MemoryStore(), fail_at(3, FAULT))
    store.write("data/aa/1", b"x")
    store.write("data/aa/2", b"x")
    with pytest.raises(StorageError):
        store.write("data/aa/3", b"x")
    store.write("data/aa/4", b"x")
    assert sorted(store.names()) == ["data/aa/1", "data/aa/2", "data/aa/4"]


def test_only_some_operations_are_counted() -> None:
    store = FaultyStore(MemoryStore(), fail_at(1, FAULT, frozenset({"sync"})))
    store.write("data/aa/1", b"x")
    with pytest.raises(StorageError):
        store.sync()
    store.sync()


def test_every_operation_can_fail() -> None:
    asked: list[str] = []

    def fault(operation: str, _name: str) -> OutcropError:
        asked.append(operation)
        return FAULT

    store = FaultyStore(MemoryStore(), fault)
    for call in (
        lambda: store.read("a"),
        lambda: store.exists("a"),
        lambda: store.write("a", b""),
        lambda: store.replace("a", b""),
        lambda: store.remove("a"),
        store.names,
        store.sync,
        store.discard_leftovers,
    ):
        with pytest.raises(StorageError):
            call()
    assert asked == ["read", "exists", "write", "replace", "remove", "names", "sync", "discard_leftovers"]


def test_a_fault_in_a_fetch_ends_this_fetch_alone() -> None:
    inner = MemoryStore()
    for name in ("a", "b"):
        inner.write(name, b"x")
    error = NetworkError(what="the server", problem="hangs up")
    store = FaultyStore(inner, lambda _operation, name: error if name == "a" else None)
    fetched = {one.wanted.name: one.error for one in store.fetch([Wanted("a", Collected()), Wanted("b", Collected())])}
    assert fetched == {"a": error, "b": None}


def test_a_lying_store_changes_what_is_read() -> None:
    inner = MemoryStore()
    inner.write("a", b"truth")
    store = FaultyStore(inner, tamper=lambda _name, data: data[::-1])
    sink = Collected()
    assert [one.error for one in store.fetch([Wanted("a", sink)])] == [None]
    assert (store.read("a"), sink.data) == (b"hturt", b"hturt")
