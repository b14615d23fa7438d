"""How notices change: given, put off, withdrawn, carried out; and the changes that would let users down."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from outcrop.cvmfs.names import repository_name
from outcrop.cvmfs.notices import NO_NOTICES, Notice, Notices
from outcrop.cvmfs.paths import repository_path
from outcrop.errors import InvalidValue, NotFound
from outcrop.stratum0.promises.notice_edits import (
    Settlement,
    announced,
    due_paths,
    settled,
    successor_doubts,
    withdrawn,
)
from tests.stratum0.noticed import DictionaryTree, notice

NAME = repository_name("test.example.org")
NOW = datetime(2026, 11, 21, 12, 0, 0, 987654, tzinfo=UTC)
MAY, JUNE, JULY = date(2027, 5, 1), date(2027, 6, 1), date(2027, 7, 1)
GCC = repository_path("/software/gcc/13")
TREE = DictionaryTree(["/software/gcc/13/bin/gcc", "/software/gcc/14/bin/gcc", "/software/latest", "/data/set"])


def given(*notices: Notice) -> Notices:
    return Notices(notices)


def at(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, 9, 30, tzinfo=UTC)


def settle(before: DictionaryTree, after: DictionaryTree, *notices: Notice, now: date = JUNE) -> Settlement:
    return settled(before, after, given(*notices), repository=NAME, now=at(now))


def test_notice_is_given() -> None:
    (found,) = announced(TREE, NO_NOTICES, notice("/software/gcc/13", JUNE), NOW)
    assert (found.path, found.on) == (GCC, JUNE)


def test_notices_can_be_read_back_as_they_were_given() -> None:
    new = Notice(GCC, JUNE, since=NOW)
    notices = announced(TREE, NO_NOTICES, new, NOW)
    assert Notices.parse(notices.encode(), "the file") == notices


def test_what_is_not_there_cannot_be_retired() -> None:
    with pytest.raises(NotFound, match="/software/gcc/12 does not exist"):
        announced(TREE, NO_NOTICES, notice("/software/gcc/12", JUNE), NOW)


@pytest.mark.parametrize("day", [NOW.date(), NOW.date() - timedelta(days=1)])
def test_day_must_be_in_the_future(day: date) -> None:
    with pytest.raises(InvalidValue, match="is not in the future"):
        announced(TREE, NO_NOTICES, notice("/software/gcc/13", day), NOW)


@pytest.mark.parametrize("successor", ["/software/gcc/13", "/software/gcc/13/bin"])
def test_successor_must_not_go_as_well(successor: str) -> None:
    with pytest.raises(InvalidValue, match="goes away together with"):
        announced(TREE, NO_NOTICES, notice("/software/gcc/13", JUNE, successor=repository_path(successor)), NOW)


def test_day_may_be_put_off_but_not_brought_forward() -> None:
    earlier = given(Notice(GCC, JUNE, since=at(MAY), message="old"))
    later = Notice(GCC, JULY, since=NOW, message="new")
    (found,) = announced(TREE, earlier, later, NOW)
    assert found == Notice(GCC, JULY, since=at(MAY), message="new")
    with pytest.raises(InvalidValue, match="is before 2027-06-01, which users were told"):
        announced(TREE, earlier, Notice(GCC, MAY, since=NOW), NOW)


def test_what_is_due_may_be_put_off() -> None:
    (found,) = announced(TREE, given(notice("/software/gcc/13", MAY)), notice("/software/gcc/13", JULY), at(JUNE))
    assert found.on == JULY


def test_path_that_is_used_again_may_be_retired_again() -> None:
    done = notice("/software/gcc/13", JULY, done=at(JULY))
    (found,) = announced(TREE, given(done), notice("/software/gcc/13", JUNE), NOW)
    assert (found.on, found.done) == (JUNE, None)


def test_nothing_stays_longer_than_the_directory_that_holds_it() -> None:
    outer, inner = notice("/software", JUNE), notice("/software/gcc/13", JULY)
    for first, second in ((outer, inner), (inner, outer)):
        with pytest.raises(InvalidValue, match="contradicts the notice for"):
            announced(TREE, given(first), second, NOW)
    assert len(announced(TREE, given(notice("/software", JULY)), notice("/software/gcc/13", JUNE), NOW)) == 2
    assert len(announced(TREE, given(notice("/software", JUNE, done=NOW)), inner, NOW)) == 2


def test_notice_is_withdrawn_with_a_reason() -> None:
    notices = given(notice("/software/gcc/13", JUNE), notice("/data", JUNE))
    assert withdrawn(notices, GCC, "still needed") == given(notice("/data", JUNE))
    with pytest.raises(InvalidValue, match="without a reason"):
        withdrawn(notices, GCC, " ")
    with pytest.raises(NotFound, match="a notice for /software does not exist"):
        withdrawn(notices, repository_path("/software"), "still needed")


def test_what_is_carried_out_is_not_withdrawn() -> None:
    with pytest.raises(InvalidValue, match="was carried out on 2027-06-01"):
        withdrawn(given(notice("/software/gcc/13", JUNE, done=at(JUNE))), GCC, "still needed")


def test_directory_that_went_on_its_day_leaves_a_directory_with_a_text() -> None:
    after = DictionaryTree(["/software/gcc/14/bin/gcc"])
    settlement = settle(TREE, after, notice("/software/gcc/13", JUNE, successor=repository_path("/software/gcc/14")))
    (path,) = settlement.stubs
    assert path == b"/software/gcc/13/RETIRED"
    assert b"Use /cvmfs/test.example.org/software/gcc/14 instead." in settlement.stubs[path]
    assert [one.done for one in settlement.notices] == [at(JUNE)]


def test_file_that_went_on_its_day_leaves_a_text() -> None:
    settlement = settle(TREE, DictionaryTree(["/data/set"]), notice("/software/latest", JUNE))
    assert list(settlement.stubs) == [b"/software/latest"]


def test_everything_that_went_with_its_directory_leaves_its_own_stub() -> None:
    notices = [notice("/software", JUNE), notice("/software/gcc/13", MAY)]
    settlement = settle(TREE, DictionaryTree(["/data/set"]), *notices)
    assert set(settlement.stubs) == {b"/software/RETIRED", b"/software/gcc/13/RETIRED"}


@pytest.mark.parametrize(
    ("reason", "after", "now"),
    [
        ("it is still there", TREE, JUNE),
        ("something else is there", DictionaryTree(["/software/gcc/13"]), JUNE),
        ("its day has not come", DictionaryTree(["/data/set"]), MAY),
    ],
)
def test_nothing_is_settled(reason: str, after: DictionaryTree, now: date) -> None:
    one = notice("/software/gcc/13", JUNE)
    assert settle(TREE, after, one, now=now) == Settlement(given(one), {}), reason


def test_stub_is_not_left_below_a_file_that_came_in() -> None:
    settlement = settle(TREE, DictionaryTree(["/software"]), notice("/software/gcc/13", JUNE))
    assert settlement.stubs == {}
    assert [one.done for one in settlement.notices] == [at(JUNE)]


def test_path_that_was_gone_before_is_settled_without_a_stub() -> None:
    gone = DictionaryTree(["/data/set"])
    settlement = settle(gone, gone, notice("/software/gcc/13", JUNE))
    assert settlement.stubs == {}
    assert [one.done for one in settlement.notices] == [at(JUNE)]


def test_carried_out_notices_are_settled_once() -> None:
    done = notice("/software/gcc/13", JUNE, done=at(JUNE))
    assert settle(TREE, DictionaryTree(["/data/set"]), done, now=JULY).notices == given(done)


def test_due_are_the_topmost_paths_that_are_there_and_whose_day_has_come() -> None:
    notices = given(
        notice("/software", MAY),
        notice("/software/gcc/13", MAY),
        notice("/data/set", JUNE),
        notice("/data/gone", MAY),
        notice("/data", JULY),
    )
    assert due_paths(TREE, notices, at(MAY)) == (b"/software",)
    assert due_paths(TREE, notices, at(JUNE)) == (b"/data/set", b"/software")


def test_doubtful_successors_are_told() -> None:
    notices = given(notice("/software/gcc", JULY))
    new = notice("/data", JUNE, successor=repository_path("/software/gcc/15"))
    missing, ending = successor_doubts(TREE, notices, new)
    assert "/software/gcc/15 is not there yet" in missing
    assert "is itself to be retired on 2027-07-01" in ending
    assert successor_doubts(TREE, NO_NOTICES, notice("/data", JUNE)) == ()
    assert successor_doubts(TREE, NO_NOTICES, notice("/data", JUNE, successor=GCC)) == ()
