"""The sum of all accounts is never less than what is there."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outcrop.client.cache.ledger import Account, Ledger, Measurement, MemberAccount
from outcrop.client.cache.members import ABSENT_SECONDS, Member

NOW = 1_800_000_000.0
DEAD = Member(Member.current().machine, 4_000_000, 1, "00000000")


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(os.fsencode(tmp_path))


def begin(ledger: Ledger, size: int = 0) -> None:
    ledger.begin()
    ledger.rebase(Measurement(size, 0, NOW), [], lambda _one: False)


def total(ledger: Ledger) -> int:
    usage = ledger.usage()
    assert usage is not None
    return usage.bytes


@pytest.mark.property
@given(*[st.integers(0, 2**62)] * 3)
def test_account_is_read_as_it_was_written(added: int, removed: int, reserved: int) -> None:
    account = Account(added, removed, reserved)
    assert Account.decode(account.encode()) == account


@pytest.mark.property
@given(st.binary(max_size=80))
def test_rubbish_is_no_account(data: bytes) -> None:
    assert Account.decode(data) is None


def test_torn_account_is_no_account() -> None:
    old, new = Account(1, 2, 3), Account(10**18, 2, 10**9)
    for cut in range(len(new.encode())):
        assert Account.decode(new.encode()[:cut] + old.encode()[cut:]) in (None, old, new)


def test_nobody_knows_before_somebody_looked(ledger: Ledger) -> None:
    assert ledger.usage() is None


def test_usage_is_the_measurement_and_all_that_happened_since(ledger: Ledger) -> None:
    begin(ledger, 1000)
    one, other = Member.current(), Member.current()
    ledger.write(one, Account(500, 100, 50))
    ledger.write(other, Account(10))
    assert total(ledger) == 1460
    usage = ledger.usage()
    assert usage is not None
    assert usage.active == 1


def test_what_came_in_during_a_look_is_never_left_out(ledger: Ledger) -> None:
    member = Member.current()
    begin(ledger)
    ledger.write(member, Account(added=1000))
    before = ledger.accounts()
    # While somebody looks, 300 come (and are seen, or not) and 200 go (and were seen, or not).
    ledger.write(member, Account(added=1300, removed=200))
    for seen in (1000, 800, 1300, 1100):
        ledger.rebase(Measurement(seen, 0, NOW), before, lambda _one: False)
        assert total(ledger) >= 1100


def test_member_that_joins_during_a_look_is_never_left_out(ledger: Ledger) -> None:
    begin(ledger)
    before = ledger.accounts()
    ledger.write(Member.current(), Account(added=300, removed=200))
    ledger.rebase(Measurement(0, 0, NOW), before, lambda _one: False)
    assert total(ledger) >= 100


def test_account_of_the_dead_ends_with_the_next_look(ledger: Ledger) -> None:
    begin(ledger)
    ledger.write(DEAD, Account(added=700, reserved=5000))
    assert total(ledger) == 5700
    before = ledger.accounts()
    ledger.rebase(Measurement(700, 1, NOW), before, lambda one: one.is_gone(NOW))
    assert total(ledger) == 700
    assert ledger.accounts() == []


def test_accounts_of_the_dead_are_added_up(ledger: Ledger) -> None:
    begin(ledger, 100)
    for number in range(5):
        ledger.write(replace(DEAD, token=f"{number:08x}"), Account(added=10, reserved=1))
    living = Member.current()
    ledger.write(living, Account(added=7))
    ledger.fold(lambda one: one.is_gone(NOW))
    assert [one.name for one in ledger.accounts()] == [living.name]
    assert total(ledger) == 162


def test_member_elsewhere_is_gone_when_its_file_is_a_day_old() -> None:
    elsewhere = MemberAccount(replace(DEAD, machine="0" * 12).name, Account(), NOW)
    assert not elsewhere.is_gone(NOW + ABSENT_SECONDS - 1)
    assert elsewhere.is_gone(NOW + ABSENT_SECONDS + 1)


def test_this_process_lives_and_one_of_its_number_from_before_does_not() -> None:
    member = Member.current()
    assert not member.is_gone(0, NOW)
    assert replace(member, started=member.started + 1).is_gone(NOW, NOW)
    assert Member.parse(member.name) == member
    assert Member.parse("fetchXXXX") is None


def test_damaged_measurement_means_that_nobody_knows(ledger: Ledger, tmp_path: Path) -> None:
    begin(ledger, 5)
    (tmp_path / ".outcrop" / "usage").write_text('{"bytes": 5')
    assert ledger.usage() is None
