"""Notices: what the file says comes back, what is malformed is named, and the stub says what users need."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outcrop.cvmfs.fields import MAXIMUM_UNIX_TIME
from outcrop.cvmfs.names import repository_name
from outcrop.cvmfs.notices import MAXIMUM_NOTICES_BYTES, NO_NOTICES, Notice, Notices, NoticeState, stub_text
from outcrop.cvmfs.paths import RepositoryPath, is_below, repository_path
from outcrop.errors import InvalidValue
from tests.cvmfs.refusal import refused

SINCE = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
WHAT = "the file /.outcrop/notices.json"
FULL = {
    "path": "/software/gcc",
    "on": "2027-06-01",
    "successor": "/software/gcc14",
    "message": "No more fixes.",
    "since": "2026-11-21T12:00:00Z",
    "by": "ada",
    "done": "2027-06-02T08:15:00Z",
}

_names = st.text(st.characters(exclude_characters="/\0", codec="utf-8"), min_size=1).filter(
    lambda name: name not in (".", "..", ".outcrop")
)
_paths = st.lists(_names, min_size=1, max_size=4).map(lambda names: repository_path("/".join(names)))
_texts = st.text(st.characters(codec="utf-8"))
_FIRST_MOMENT = -60_000_000_000  # in the year 68: four digits are written of every year
_moments = st.integers(_FIRST_MOMENT, MAXIMUM_UNIX_TIME).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))
_notices = st.builds(
    Notice,
    path=_paths,
    on=st.dates(),
    since=_moments,
    successor=st.none() | _paths,
    message=_texts,
    by=_texts,
    done=st.none() | _moments,
)


def notice(path: str = "/software/gcc", **more: object) -> Notice:
    values = {"on": date(2027, 6, 1), "since": SINCE, **more}
    return Notice(path=repository_path(path), **values)  # type: ignore[arg-type]


def file(*notices: object, version: object = 1) -> bytes:
    return json.dumps({"version": version, "notices": notices}).encode()


def parse(data: bytes) -> Notices:
    return Notices.parse(data, WHAT)


@pytest.mark.property
@given(st.lists(_notices, unique_by=lambda one: one.path))
def test_encoded_and_back(notices: list[Notice]) -> None:
    assert parse(Notices(notices).encode()) == Notices(notices)


@pytest.mark.property
@given(st.lists(_notices, unique_by=lambda one: one.path), st.randoms())
def test_same_notices_are_the_same_bytes_in_whatever_order_they_came(notices: list[Notice], random: object) -> None:
    shuffled = list(notices)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert Notices(notices).encode() == Notices(shuffled).encode()


@pytest.mark.property
@given(
    st.lists(st.lists(st.sampled_from(["a", "a-", "a0", "b"]), min_size=1, max_size=4).map("/".join), unique=True),
    st.lists(st.sampled_from(["a", "a-", "a0", "b"]), max_size=4).map("/".join),
)
def test_above_and_below_are_what_the_paths_say(texts: list[str], asked: str) -> None:
    notices = Notices(notice(text) for text in texts)
    path = repository_path(asked)
    assert notices.above(path) == [one for one in notices if is_below(path, one.path)]
    assert notices.below(path) == sorted((one for one in notices if is_below(one.path, path)), key=lambda one: one.path)


def test_file_is_as_documented() -> None:
    (found,) = parse(file(FULL))
    assert found == Notice(
        path=RepositoryPath(b"/software/gcc"),
        on=date(2027, 6, 1),
        since=SINCE,
        successor=RepositoryPath(b"/software/gcc14"),
        message="No more fixes.",
        by="ada",
        done=datetime(2027, 6, 2, 8, 15, tzinfo=UTC),
    )
    assert json.loads(Notices([found]).encode()) == {"version": 1, "notices": [FULL]}


def test_what_is_not_known_is_left_out() -> None:
    assert json.loads(Notices([notice()]).encode())["notices"] == [
        {"path": "/software/gcc", "on": "2027-06-01", "since": "2026-11-21T12:00:00Z"}
    ]


def test_times_of_other_zones_are_written_in_utc() -> None:
    moment = datetime(2026, 11, 21, 14, 0, tzinfo=timezone(timedelta(hours=2)))
    assert b'"since": "2026-11-21T12:00:00Z"' in Notices([notice(since=moment)]).encode()


@pytest.mark.parametrize(
    ("now", "state"),
    [
        (datetime(2027, 5, 31, 23, 59, 59, tzinfo=UTC), NoticeState.PENDING),
        (datetime(2027, 6, 1, tzinfo=UTC), NoticeState.DUE),
        (datetime(2027, 6, 1, 1, tzinfo=timezone(timedelta(hours=2))), NoticeState.PENDING),
        (datetime(2030, 1, 1, tzinfo=UTC), NoticeState.DUE),
    ],
)
def test_notice_is_due_from_the_day_that_it_names_in_utc(now: datetime, state: NoticeState) -> None:
    assert notice().state(now) is state
    assert notice(done=SINCE).state(now) is NoticeState.DONE


def test_one_notice_a_path_and_another_takes_its_place() -> None:
    first, second = notice(), notice(message="later", on=date(2028, 1, 1))
    assert list(Notices([first]).with_notice(second)) == [second]
    assert Notices([first]).without(first.path) == NO_NOTICES
    assert Notices([first]).at(first.path) == first
    assert NO_NOTICES.at(first.path) is None


@pytest.mark.parametrize("path", ["/", "/.outcrop", "/.outcrop/notices.json", b"/caf\xe9"])
def test_path_that_no_notice_can_name_is_refused(path: str | bytes) -> None:
    with pytest.raises(InvalidValue):
        Notice(repository_path(path), date(2027, 6, 1), SINCE)
    with pytest.raises(InvalidValue):
        notice(successor=repository_path(path))


def test_text_that_is_not_unicode_is_refused() -> None:
    with pytest.raises(InvalidValue, match="is not Unicode"):
        notice(message="caf\udce9")


@pytest.mark.parametrize(
    ("data", "field"),
    [
        (b"", "JSON"),
        (b"\xff", "JSON"),
        (b"[" * 100_000, "JSON"),
        (b"[]", "document"),
        (b"{}", "version"),
        (file(version=2), "version"),
        (file(version=True), "version"),
        (file(version="1"), "version"),
        (b'{"version": 1}', "notices"),
        (b'{"version": 1, "notices": {}}', "notices"),
        (b'{"version": 1, "notices": [], "more": 1}', "notices"),
        (file([]), "notice 1"),
        (file(FULL, FULL), "notices"),
        (b" " * (MAXIMUM_NOTICES_BYTES + 1), "the file"),
    ],
)
def test_malformed_file_is_refused_by_name(data: bytes, field: str) -> None:
    with refused(field):
        parse(data)


@pytest.mark.parametrize("missing", ["path", "on", "since"])
def test_field_that_is_missing_is_named(missing: str) -> None:
    with refused(f"{missing} of notice 1"):
        parse(file({key: value for key, value in FULL.items() if key != missing}))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *[(key, value) for key in FULL for value in (1, None, ["a"], "\ud800")],
        ("path", "software/gcc"),
        ("path", "/software//gcc"),
        ("path", "/software/../gcc"),
        ("path", "/.outcrop/notices.json"),
        ("path", ""),
        ("on", "20270601"),
        ("on", "2027-02-30"),
        ("on", "2027-6-1"),
        ("since", "2026-11-21T12:00:00"),
        ("since", "2026-11-21T12:00:00+00:00"),
        ("since", "2026-11-1T12:00:00Z"),
        ("done", "soon"),
        ("successor", "elsewhere"),
        ("successor", ""),
        ("message", ""),
        ("by", ""),
        ("done", ""),
        ("colour", "red"),
    ],
)
def test_malformed_field_names_its_notice(key: str, value: object) -> None:
    with refused(f"{key} of notice 2"):
        parse(file({**FULL, "path": "/other"}, {**FULL, key: value}))


def test_stub_says_when_what_instead_and_why() -> None:
    name = repository_name("software.example.org")
    one = notice(successor=repository_path("/software/gcc14"), message="No more fixes.")
    assert stub_text(one, name, datetime(2027, 6, 2, tzinfo=UTC)).decode() == (
        "/cvmfs/software.example.org/software/gcc was retired on 2027-06-02.\n"
        "Use /cvmfs/software.example.org/software/gcc14 instead.\n"
        "\n"
        "No more fixes.\n"
        "\n"
        "This was announced on 2026-11-21.\n"
    )
    assert stub_text(notice(), name, datetime(2027, 6, 2, tzinfo=UTC)).decode() == (
        "/cvmfs/software.example.org/software/gcc was retired on 2027-06-02.\n\nThis was announced on 2026-11-21.\n"
    )
