"""The words of `CVMFS_HTTP_PROXY`: groups and members are found, and what is wrong is named."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outcrop.client.network.proxies import DIRECT, ENVIRONMENT, groups_in_use, parse_proxies, proxy_host, shown_proxy
from outcrop.client.network.settings import NetworkSettings
from outcrop.errors import InvalidValue


@pytest.mark.parametrize(
    ("text", "groups"),
    [
        ("DIRECT", [["DIRECT"]]),
        ("direct", [["DIRECT"]]),
        ("http://a:3128", [["http://a:3128"]]),
        ("a:3128", [["http://a:3128"]]),
        ("http://a:3128|http://b:3128;DIRECT", [["http://a:3128", "http://b:3128"], ["DIRECT"]]),
        (" a:1 | b:2 ; c:3 ", [["http://a:1", "http://b:2"], ["http://c:3"]]),
        ("a:1||b:2;;c:3;", [["http://a:1", "http://b:2"], ["http://c:3"]]),
        ("a:1|a:1", [["http://a:1"]]),
        ("http://a:1/", [["http://a:1"]]),
        ("http://[fe80::1]:3128|[::1]:80", [["http://[fe80::1]:3128", "http://[::1]:80"]]),
        ("https://user:secret@a:3128", [["https://user:secret@a:3128"]]),
        ("socks5h://a:1080", [["socks5h://a:1080"]]),
    ],
)
def test_groups_and_members_are_found(text: str, groups: list[list[str]]) -> None:
    assert [list(group) for group in parse_proxies(text).groups] == groups


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "names no proxy"),
        (" ;|; ", "names no proxy"),
        ("auto", "only `auto`"),
        ("ftp://a:21", "scheme 'ftp'"),
        ("http://", "no host"),
        ("http://a:port", "no valid host and port"),
        ("a:99999", "no valid host and port"),
        ("a:0", "no valid port"),
        ("http://[::1:3128", "no valid host and port"),
        ("http://a b:3128", "blank"),
        ("a:3128/path", "behind host and port"),
        ("a:3128?x", "behind host and port"),
    ],
)
def test_what_is_wrong_is_named(text: str, problem: str) -> None:
    with pytest.raises(InvalidValue, match=problem) as caught:
        parse_proxies(text, "CVMFS_HTTP_PROXY of example.org")
    assert "CVMFS_HTTP_PROXY of example.org" in str(caught.value)
    assert caught.value.hint


def test_bad_member_is_named_among_good_ones_without_its_password() -> None:
    with pytest.raises(InvalidValue, match=r"the proxy 'b:x' in") as caught:
        parse_proxies("http://a:1|http://user:secret@b:x;DIRECT")
    assert "secret" not in str(caught.value)


def test_proxies_that_the_network_announces_are_left_out_and_told_of() -> None:
    parsed = parse_proxies("auto;DIRECT")
    assert parsed.groups == (("DIRECT",),)
    assert "`auto`" in parsed.notes[0]
    assert "name the proxies themselves" in parsed.notes[0]
    assert "CVMFS_HTTP_PROXY in /etc/cvmfs/default.local" in parsed.notes[0]


@pytest.mark.property
@given(
    st.lists(st.lists(st.builds("proxy{}:{}".format, st.integers(0, 9), st.integers(1, 65535)), min_size=1), min_size=1)
)
def test_what_is_written_is_what_is_read(groups: list[list[str]]) -> None:
    text = ";".join("|".join(group) for group in groups)
    expected = tuple(tuple(dict.fromkeys(f"http://{member}" for member in group)) for group in groups)
    assert parse_proxies(text).groups == expected


@pytest.mark.property
@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        groups = parse_proxies(text).groups
    except InvalidValue:
        return
    assert all(group and all(member == DIRECT or "://" in member for member in group) for group in groups)


def test_fallback_proxies_replace_direct() -> None:
    settings = NetworkSettings(proxies=(("http://a:1", DIRECT), (DIRECT,)), fallback_proxies=(("http://b:1",),))
    assert groups_in_use(settings) == (("http://a:1",), ("http://b:1",))


def test_without_any_proxy_the_environment_decides() -> None:
    assert groups_in_use(NetworkSettings()) == ((ENVIRONMENT,),)


def test_proxies_are_shown_without_passwords() -> None:
    assert shown_proxy("http://user:secret@a:3128") == "the proxy http://a:3128"
    assert shown_proxy(DIRECT) == "no proxy"
    assert "environment" in shown_proxy(ENVIRONMENT)


def test_host_of_a_proxy() -> None:
    assert proxy_host("http://user:secret@a.example:3128") == "a.example"
    assert proxy_host(DIRECT) == proxy_host(ENVIRONMENT) == ""
