"""Addresses on S3: what they mean, and what is wrong with those that mean nothing."""

from __future__ import annotations

import pytest

from outcrop.errors import InvalidValue
from outcrop.storage.s3_address import S3Address


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("s3://bucket", S3Address("bucket")),
        ("s3://bucket/", S3Address("bucket")),
        ("s3://bucket/a/b c/ü%20+", S3Address("bucket", "a/b c/ü%20+")),
        ("s3://bucket/a/", S3Address("bucket", "a")),
        ("s3://bu.ck-et1/a?region=eu-north-1", S3Address("bu.ck-et1", "a", region="eu-north-1")),
        ("s3://bucket/a?endpoint=http://[::1]:9000/", S3Address("bucket", "a", "http://[::1]:9000")),
        ("s3://bucket/a?endpoint=https%3A%2F%2Fs3.example.org", S3Address("bucket", "a", "https://s3.example.org")),
    ],
)
def test_an_address_names_bucket_prefix_and_server(text: str, expected: S3Address) -> None:
    assert S3Address.parse(text) == expected
    assert S3Address.parse(str(expected)) == expected


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("s3://", "bucket"),
        ("s3:///prefix", "bucket"),
        ("s3://My_Bucket/a", "My_Bucket"),
        ("s3://bucket//a", "empty part"),
        ("s3://bucket/a//b", "empty part"),
        ("s3://bucket/a/../b", r"`\.\.`"),
        ("s3://bucket/a\nb", "unprintable"),
        ("s3://bucket/a#b", "#"),
        ("s3://bucket/a?endpint=http://x", "endpint"),
        ("s3://bucket/a?endpoint", "not understood"),
        ("s3://bucket/a?endpoint=localhost:9000", "endpoint"),
        ("s3://bucket/a?endpoint=http://host:port", "endpoint"),
        ("s3://bucket/a?endpoint=", "endpoint"),
        ("s3://bucket/a?region=here+or+there", "region"),
        ("http://bucket/a", "s3://"),
    ],
)
def test_what_is_wrong_with_an_address_is_said(text: str, problem: str) -> None:
    with pytest.raises(InvalidValue, match=problem) as caught:
        S3Address.parse(text)
    assert "s3://BUCKET/PREFIX" in caught.value.hint


def test_keys_lie_below_the_prefix() -> None:
    assert S3Address("bucket", "a/b").key("data/x") == "a/b/data/x"
    assert S3Address("bucket").key("data/x") == "data/x"


def test_a_place_is_called_like_the_repository_once() -> None:
    expected = S3Address("bucket", "a/name")
    assert S3Address("bucket", "a").named("name") == expected
    assert expected.named("name") == expected
    assert S3Address("bucket").named("name") == S3Address("bucket", "name")
    assert S3Address("bucket", "other-name").named("name") == S3Address("bucket", "other-name/name")


@pytest.mark.parametrize(
    ("address", "url"),
    [
        (S3Address("bucket", "a b"), "https://bucket.s3.amazonaws.com/a%20b"),
        (S3Address("bucket", region="eu-north-1"), "https://bucket.s3.eu-north-1.amazonaws.com"),
        (S3Address("bucket", "a", "http://host:9000"), "http://host:9000/bucket/a"),
        (S3Address("bucket", "", "http://host:9000"), "http://host:9000/bucket"),
    ],
)
def test_readers_find_it_under_a_url(address: S3Address, url: str) -> None:
    assert address.url == url


def test_the_environment_names_the_server_where_the_address_does_not() -> None:
    general, special = {"AWS_ENDPOINT_URL": "http://general/"}, {"AWS_ENDPOINT_URL_S3": "http://special"}
    ours = S3Address("bucket", "a", "http://ours")
    assert ours.on_server(general) == ours
    assert S3Address("bucket").on_server({}) == S3Address("bucket")
    assert S3Address("bucket").on_server(general).endpoint == "http://general"
    assert S3Address("bucket").on_server({**general, **special}).endpoint == "http://special"
    with pytest.raises(InvalidValue, match="endpoint"):
        S3Address("bucket").on_server({"AWS_ENDPOINT_URL": "nowhere"})
