"""What killed processes leave of transactions is known for what it is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from outcrop.stratum0.lock import exclusive
from outcrop.stratum0.transactions.transaction_record import TransactionPlace, clear_remnants, transaction_names


@pytest.fixture
def place(tmp_path: Path) -> TransactionPlace:
    return TransactionPlace(tmp_path / "test.example.org.transactions", "20261121-120000")


def test_an_empty_directory_is_no_transaction_and_is_taken_away(place: TransactionPlace) -> None:
    place.directory.mkdir(parents=True)
    assert transaction_names(place.home) == []
    clear_remnants(place.home)
    assert os.listdir(place.home) == []


def test_a_lock_that_nobody_holds_is_taken_away(place: TransactionPlace) -> None:
    place.home.mkdir()
    place.lock.touch()
    clear_remnants(place.home)
    assert os.listdir(place.home) == []


def test_a_transaction_that_is_being_opened_is_left_alone(place: TransactionPlace) -> None:
    with exclusive(place.lock, "the transaction"):
        place.directory.mkdir()
        clear_remnants(place.home)
        assert sorted(os.listdir(place.home)) == [place.name, place.lock.name]


def test_a_transaction_without_a_record_is_left_for_its_owner(place: TransactionPlace) -> None:
    place.upper.mkdir(parents=True)
    place.lock.touch()
    clear_remnants(place.home)
    assert transaction_names(place.home) == [place.name]
    assert place.upper.is_dir()
    assert place.lock.exists()


def test_nothing_is_made_where_there_never_was_a_transaction(place: TransactionPlace) -> None:
    clear_remnants(place.home)
    assert not place.home.exists()


def test_a_lock_file_that_was_taken_away_is_made_anew(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with exclusive(lock, "first"):
        lock.unlink()
        with exclusive(lock, "second"):
            assert lock.exists()
