"""What people call a place on S3: `s3://bucket/prefix?endpoint=https://s3.example.org&region=eu-north-1`.

The endpoint is the server; without one it is Amazon's. It is part of the address, so that a repository's record says
which server holds it whatever the environment says on another day. The prefix is taken as it is written: nothing in it
is decoded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from outcrop.errors import InvalidValue

SCHEME = "s3://"
FORM = "s3://BUCKET/PREFIX, with ?endpoint=URL behind it where the server is not Amazon's"

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", re.ASCII)
"""Source: Amazon S3 User Guide, general purpose bucket naming rules."""
_REGION = re.compile(r"[A-Za-z0-9-]{1,63}", re.ASCII)
_ENDPOINT_VARIABLES = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
"""Where the environment names the server, as for Amazon's own tools: the first that is set counts."""


@dataclass(frozen=True, slots=True)
class S3Address:
    """A bucket, and the beginning of the keys in it that belong here: parts joined by `/`, or nothing."""

    bucket: str
    prefix: str = ""
    endpoint: str = ""
    region: str = ""

    @classmethod
    def parse(cls, text: str) -> S3Address:
        """The place that `text` names; InvalidValue says what is wrong with it."""
        if not text.startswith(SCHEME):
            raise _invalid(text, "does not begin with s3://")
        location, _, query = text.removeprefix(SCHEME).partition("?")
        bucket, _, prefix = location.partition("/")
        prefix = prefix.removesuffix("/")
        if not _BUCKET.fullmatch(bucket):
            raise _invalid(text, f"has no valid bucket: {bucket!r} (small letters, digits, `-` and `.`, from 3 to 63)")
        if "#" in prefix or not prefix.isprintable():
            raise _invalid(text, "has `#` or unprintable characters in its prefix")
        if prefix and not {"", ".", ".."}.isdisjoint(prefix.split("/")):
            raise _invalid(text, "has an empty part, `.` or `..` in its prefix")
        return cls(bucket, prefix, **_server(text, query))

    def __str__(self) -> str:
        """The whole address; `parse` reads it back."""
        server = {name: value for name in ("endpoint", "region") if (value := str(getattr(self, name)))}
        return self.place + (f"?{urlencode(server, safe=':/')}" if server else "")

    @property
    def place(self) -> str:
        """The address without the server."""
        return f"{SCHEME}{self.bucket}" + (f"/{self.prefix}" if self.prefix else "")

    @property
    def url(self) -> str:
        """Where a web browser finds what lies here, once the bucket's owner lets everybody read."""
        path = quote(self.prefix)
        if self.endpoint:
            return "/".join(part for part in (self.endpoint, self.bucket, path) if part)
        host = f"s3.{self.region}.amazonaws.com" if self.region else "s3.amazonaws.com"
        return f"https://{self.bucket}.{host}/{path}".removesuffix("/")

    def key(self, name: str) -> str:
        """The key of the object `name`."""
        return f"{self.prefix}/{name}" if self.prefix else name

    def named(self, name: str) -> S3Address:
        """This place if it is called `name`, otherwise the place of that name below it."""
        return self if self.prefix.rpartition("/")[2] == name else replace(self, prefix=self.key(name))

    def on_server(self, environment: Mapping[str, str]) -> S3Address:
        """The same place on the server that it names itself, or else the environment."""
        endpoint = next((environment[name] for name in _ENDPOINT_VARIABLES if environment.get(name)), "")
        if self.endpoint or not endpoint:
            return self
        return S3Address.parse(str(replace(self, endpoint=endpoint.rstrip("/"))))


def _server(text: str, query: str) -> dict[str, str]:
    try:
        server = dict(parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query)))
    except ValueError as error:
        raise _invalid(text, "is not understood behind the `?`") from error
    if unknown := set(server) - {"endpoint", "region"}:
        raise _invalid(text, f"says {unknown.pop()!r} behind the `?`; known are endpoint and region")
    if not _REGION.fullmatch(server.get("region", "any")):
        raise _invalid(text, f"has no valid region: {server['region']!r}")
    if "endpoint" in server:
        server["endpoint"] = server["endpoint"].rstrip("/")
        if not _is_server(server["endpoint"]):
            raise _invalid(text, f"has no valid endpoint: {server['endpoint']!r} (https://HOST or http://HOST:PORT)")
    return server


def _is_server(url: str) -> bool:
    try:
        parts = urlsplit(url)
        _ = parts.port  # which checks itself
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and not (parts.query or parts.fragment)


def _invalid(text: str, problem: str) -> InvalidValue:
    return InvalidValue(what=f"the address {text!r}", problem=problem, hint=f"write {FORM}")
