"""A store on S3: what it asks, how it is served, and what servers and networks do wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from outcrop.cvmfs.objects import MANIFEST_NAME
from outcrop.errors import InvalidValue, MissingCapability, NetworkError, NotFound, OutcropError, StorageError
from outcrop.storage.interface import PIECE_BYTES, Wanted
from outcrop.storage.s3 import REMOVED_AT_ONCE, S3Limits, S3Store
from outcrop.storage.s3_address import S3Address
from tests.storage.conformance import LARGE, Collected, name_of
from tests.storage.s3_relay import Fault, Relay, answer_with, cut_after, hang_up, relaying
from tests.storage.s3_server import BUCKET, S3Server

pytestmark = pytest.mark.integration

QUICK = S3Limits(connect=1, stall=2, attempts=2)
"""Limits that let a test of a server that is not there end soon."""


@pytest.fixture
def relay(s3: S3Server) -> Iterator[Relay]:
    with relaying(s3) as relay:
        yield relay


@pytest.fixture
def store(relay: Relay, prefix: str) -> Iterator[S3Store]:
    store = S3Store(S3Address.parse(relay.address(prefix)), QUICK)
    yield store
    store.close()


def test_a_new_object_costs_two_requests_and_one_that_is_there_a_single_one(store: S3Store, relay: Relay) -> None:
    store.write(name_of(b"x"), b"x")
    assert relay.asked == {"HEAD": 1, "PUT": 1}
    store.write(name_of(b"x"), b"x")
    assert relay.asked == {"HEAD": 2, "PUT": 1}


def test_replacing_and_syncing_cost_one_request(store: S3Store, relay: Relay) -> None:
    store.replace(MANIFEST_NAME, b"x")
    store.sync()
    assert store.discard_leftovers() == 0
    assert relay.asked == {"PUT": 1}


def test_objects_are_served_with_their_type_and_how_long_they_keep(s3: S3Server, prefix: str) -> None:
    store = S3Store.create(S3Address.parse(s3.address(prefix)))
    store.write(name_of(b"x"), b"x")
    store.replace(MANIFEST_NAME, b"x")

    def kept(name: str) -> tuple[str, str]:
        about = json.loads((s3.directory / BUCKET / ".nanio-meta" / prefix / f"{name}.json").read_text())
        return about["content_type"], about["cache_control"]

    assert kept(name_of(b"x")) == ("application/octet-stream", "max-age=259200")
    assert kept(MANIFEST_NAME) == ("application/x-cvmfs", "max-age=61")


@pytest.mark.parametrize("ending", ["", "a b", "größe/ü+&=~", "…/deep/er"])
def test_a_prefix_may_hold_any_characters(s3: S3Server, prefix: str, ending: str) -> None:
    place = f"{prefix}/{ending}".removesuffix("/")
    store = S3Store.create(S3Address.parse(s3.address(place)))
    store.write(name_of(b"x"), b"x")
    assert store.read(name_of(b"x")) == b"x"
    assert list(store.names()) == [name_of(b"x")]
    assert (s3.directory / BUCKET / place / name_of(b"x")).read_bytes() == b"x"


def test_neighbours_with_a_longer_name_are_not_listed(s3: S3Server, prefix: str) -> None:
    ours, theirs = (S3Store(S3Address.parse(s3.address(place))) for place in (prefix, f"{prefix}-old"))
    theirs.write(name_of(b"theirs"), b"x")
    assert list(ours.names()) == []


def test_a_big_object_arrives_whole(s3: S3Server, prefix: str) -> None:
    data = os.urandom(PIECE_BYTES) * 40 + b"end"
    store = S3Store.create(S3Address.parse(s3.address(prefix)))
    assert store.write(name_of(data), memoryview(data)) is True
    assert store.read(name_of(data)) == data


def test_more_names_than_one_answer_holds_are_listed_and_removed(s3: S3Server, prefix: str) -> None:
    store = S3Store(S3Address.parse(s3.address(prefix)))
    names = [name_of(b"%d" % number) for number in range(REMOVED_AT_ONCE + 5)]
    for name in names:
        path = s3.directory / BUCKET / prefix / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert sorted(store.names()) == sorted(names)
    store.remove_many([*names[1:], name_of(b"not there")])
    assert list(store.names()) == [names[0]]


@pytest.mark.fault
class TestFaults:
    """What servers and networks do wrong."""

    @pytest.mark.parametrize(
        "fault", [answer_with(503, "SlowDown"), answer_with(500, "InternalError"), hang_up], ids=["503", "500", "cut"]
    )
    def test_trouble_that_passes_is_not_noticed(self, store: S3Store, relay: Relay, fault: Fault) -> None:
        relay.fail(fault, "PUT")
        assert store.write(name_of(b"x"), b"x") is True
        relay.fail(fault, "GET")
        assert store.read(name_of(b"x")) == b"x"
        assert relay.asked == {"HEAD": 1, "PUT": 2, "GET": 2}

    def test_a_server_that_stays_overloaded_is_said_to_be(self, store: S3Store, relay: Relay) -> None:
        relay.fail(answer_with(503, "SlowDown"), times=100)
        with pytest.raises(NetworkError, match="SlowDown") as caught:
            store.replace(MANIFEST_NAME, b"x")
        assert MANIFEST_NAME in caught.value.message

    def test_a_transfer_that_breaks_off_goes_on_where_it_stopped(self, store: S3Store, relay: Relay) -> None:
        store.write(name_of(LARGE), LARGE)
        relay.fail(cut_after(PIECE_BYTES + 10), "GET")
        sink = Collected()
        assert [one.error for one in store.fetch([Wanted(name_of(LARGE), sink)])] == [None]
        assert sink.data == LARGE

    def test_transfers_that_always_break_off_are_given_up(self, store: S3Store, relay: Relay) -> None:
        store.write(name_of(LARGE), LARGE)
        relay.fail(cut_after(10), "GET", times=100)
        with pytest.raises(NetworkError, match="cut short"):
            store.read(name_of(LARGE))

    def test_a_server_that_stops_in_the_middle(self, tmp_path: Path, s3: S3Server, prefix: str) -> None:
        server = S3Server(tmp_path).start()
        try:
            store = S3Store.create(S3Address.parse(server.address(prefix)), QUICK)
            store.write(name_of(b"x"), b"x")
            server.stop()
            for attempt in (
                lambda: store.read(name_of(b"x")),
                lambda: store.exists(name_of(b"x")),
                lambda: store.write(name_of(b"y"), b"y"),
                lambda: store.replace(MANIFEST_NAME, b"y"),
                lambda: list(store.names()),
            ):
                with pytest.raises(NetworkError, match=server.endpoint):
                    attempt()
            server.start()
            assert store.read(name_of(b"x")) == b"x"
            assert store.write(name_of(b"y"), b"y") is True
        finally:
            server.stop()

    @pytest.mark.parametrize(
        ("status", "code", "hint"),
        [
            (403, "AccessDenied", "s3:PutObject"),
            (403, "RequestTimeTooSkewed", "clock"),
            (400, "AuthorizationHeaderMalformed", "region="),
            (507, "XMinioStorageFull", "runs the server"),
            (418, "Teapot", "runs the server"),
        ],
    )
    def test_a_refusal_says_what_to_do(self, store: S3Store, relay: Relay, status: int, code: str, hint: str) -> None:
        relay.fail(answer_with(status, code), times=100)
        with pytest.raises(StorageError) as caught:
            store.replace(MANIFEST_NAME, b"x")
        assert hint in caught.value.hint

    def test_an_object_that_cannot_be_removed_is_named(self, store: S3Store, relay: Relay) -> None:
        answer = b"<DeleteResult><Error><Key>k</Key><Code>AccessDenied</Code></Error></DeleteResult>"
        relay.fail(lambda asked: asked.give(answer), "POST")
        with pytest.raises(StorageError, match="may not be accessed") as caught:
            store.remove_many([name_of(b"x")])
        assert f"{BUCKET}/k" in caught.value.message


def _error_of(store: S3Address) -> OutcropError:
    with pytest.raises(OutcropError) as caught:
        S3Store.create(store, QUICK)
    return caught.value


@pytest.mark.parametrize(
    "wrong", [{"AWS_ACCESS_KEY_ID": "somebody"}, {"AWS_SECRET_ACCESS_KEY": "guessed"}], ids=["key", "secret"]
)
def test_wrong_credentials_are_named_as_such(s3: S3Server, prefix: str, wrong: dict[str, str]) -> None:
    os.environ.update(wrong)
    error = _error_of(S3Address.parse(s3.address(prefix)))
    assert isinstance(error, StorageError)
    assert "does not accept the credentials" in error.message
    assert "AWS_ACCESS_KEY_ID" in error.hint


def test_missing_credentials_are_named_as_such(s3: S3Server, prefix: str) -> None:
    del os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]
    error = _error_of(S3Address.parse(s3.address(prefix)))
    assert "without credentials" in error.message


def test_a_profile_that_is_not_there_is_named(s3: S3Server, prefix: str) -> None:
    os.environ["AWS_PROFILE"] = "nobody"
    error = _error_of(S3Address.parse(s3.address(prefix)))
    assert isinstance(error, InvalidValue)
    assert "nobody" in error.message


def test_a_bucket_that_is_not_there_is_no_missing_object(s3: S3Server) -> None:
    where = replace(S3Address.parse(s3.address("x")), bucket="nobodys-bucket")
    error = _error_of(where)
    assert "no such bucket" in error.message
    assert "s3://nobodys-bucket" in error.hint
    with pytest.raises(StorageError):
        S3Store(where).read(MANIFEST_NAME)
    with pytest.raises(NotFound):
        S3Store(S3Address.parse(s3.address("x"))).read(MANIFEST_NAME)


def test_a_server_that_is_not_there_is_named(s3: S3Server) -> None:
    error = _error_of(S3Address.parse(f"s3://{BUCKET}/x?endpoint=http://127.0.0.1:9"))
    assert isinstance(error, NetworkError)
    assert "http://127.0.0.1:9" in error.message


def test_an_endpoint_of_the_environment_that_is_no_url_is_named(s3: S3Server) -> None:
    os.environ["AWS_ENDPOINT_URL"] = "not a url"
    assert "AWS_ENDPOINT_URL" in _error_of(S3Address(BUCKET)).hint


def test_without_boto3_the_command_to_install_it_is_said() -> None:
    program = (
        "import sys; sys.modules['boto3.session'] = None\n"
        "from outcrop.storage.places import open_store\n"
        "try: open_store('s3://bucket/prefix')\n"
        "except Exception as error: print(type(error).__name__, error.hint)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(MissingCapability.__name__)
    assert "pip install 'outcrop[s3]'" in done.stdout


def test_boto3_is_loaded_for_s3_alone() -> None:
    program = "import sys, outcrop.storage.places; print([m for m in sys.modules if m.startswith('boto')])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
