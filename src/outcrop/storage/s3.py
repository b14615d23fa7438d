"""Objects on S3: Amazon's, or any server that speaks the same (MinIO, Ceph, a provider's).

What the service promises is what publishing needs: a PUT is seen whole or not at all, by every reader, and is durable
when it is answered. Nothing is ever put together from several uploads, so an interrupted writer leaves nothing behind.
An object that is there costs one HEAD and is not sent again; a new one costs a HEAD and a PUT. A conditional PUT would
save the HEAD, but servers that do not know `If-None-Match` ignore it and overwrite.

Clients read the same objects over plain HTTP, from the bucket itself or from a cache in front of it.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import Any

from outcrop import __version__
from outcrop.errors import InvalidValue, MissingCapability, NetworkError, NotFound, StorageError
from outcrop.storage.freshness import served_as
from outcrop.storage.interface import DEFAULT_READ_LIMIT, PIECE_BYTES, Fetched, Wanted
from outcrop.storage.parallel_fetch import fetch_in_parallel
from outcrop.storage.s3_address import S3Address
from outcrop.storage.s3_errors import refused, told_of

REMOVED_AT_ONCE = 1000
"""How many names one request may remove. Source: Amazon S3 API Reference, DeleteObjects."""

_DATA = "data/"


@dataclass(frozen=True, slots=True)
class S3Limits:
    """How many requests at once, and when one is given up; times in seconds."""

    parallel: int = 16
    """Fetches at once, as over HTTP."""
    writers: int = 32
    """Threads that write at once: each waits for two answers an object, some 20 ms."""
    connections: int = 64
    """Kept open: a publisher on a large machine writes from as many threads as it has cores."""
    connect: float = 5.0
    stall: float = 30.0
    """Without a byte for so long, a request is sent again. S3 may think for seconds before it answers."""
    attempts: int = 5
    """How often a request is sent before it counts as failed; with the pauses of boto3's standard mode, some 15 s."""


DEFAULT_S3_LIMITS = S3Limits()


class S3Store:
    """The objects at `where`. May be used from any thread; a forked process opens one of its own."""

    def __init__(self, where: S3Address, limits: S3Limits = DEFAULT_S3_LIMITS) -> None:
        self.where = where
        self._limits = limits
        self._client = _connected(where, limits)

    @classmethod
    def create(cls, where: S3Address, limits: S3Limits = DEFAULT_S3_LIMITS) -> S3Store:
        """A store in a bucket that is there and that these credentials may use."""
        store = cls(where, limits)
        # Unlike the answer to HEAD, one to GET has a body that says what is wrong.
        with told_of(store.address, where):
            store._client.list_objects_v2(Bucket=where.bucket, Prefix=where.prefix, MaxKeys=1)
        return store

    @property
    def writers(self) -> int:
        return self._limits.writers

    @property
    def is_shareable(self) -> bool:
        return False

    @property
    def address(self) -> str:
        return self.where.place

    def read(self, name: str, *, limit: int = DEFAULT_READ_LIMIT) -> bytes:
        data = bytearray()
        with closing(self._pieces(name)) as pieces:
            for piece in pieces:
                data += piece
                if len(data) > limit:
                    raise StorageError(what=self._what(name), problem=f"is larger than {limit} bytes")
        return bytes(data)

    def exists(self, name: str) -> bool:
        try:
            with told_of(self._what(name), self.where):
                self._client.head_object(**self._object(name))
        except NotFound:
            return False
        return True

    def fetch(self, wanted: Iterable[Wanted]) -> Iterator[Fetched]:
        return fetch_in_parallel(wanted, self._pieces, self._limits.parallel)

    def close(self) -> None:
        self._client.close()

    def write(self, name: str, data: bytes | bytearray | memoryview) -> bool:
        if self.exists(name):
            return False
        self._put(name, data)
        return True

    def replace(self, name: str, data: bytes) -> None:
        self._put(name, data)

    def remove(self, name: str) -> None:
        with told_of(self._what(name), self.where):
            self._client.delete_object(**self._object(name))

    def remove_many(self, names: Iterable[str]) -> None:
        """Takes many objects away, a thousand with each request; those that are not there are no error."""
        rest = iter(names)
        while batch := [{"Key": self.where.key(name)} for name in islice(rest, REMOVED_AT_ONCE)]:
            with told_of(self.address, self.where):
                answer = self._client.delete_objects(Bucket=self.where.bucket, Delete={"Objects": batch, "Quiet": True})
            for error in answer.get("Errors", []):
                what = f"{self.where.bucket}/{error.get('Key', '')}"
                raise refused(error.get("Code", "an error"), error.get("Message", ""), what, self.where)

    def names(self) -> Iterator[str]:
        prefix = self.where.key("")
        pages = self._client.get_paginator("list_objects_v2")
        with told_of(self.address, self.where):
            for page in pages.paginate(Bucket=self.where.bucket, Prefix=prefix + _DATA):
                for entry in page.get("Contents", []):
                    yield entry["Key"].removeprefix(prefix)

    def sync(self) -> None:
        """Every write was durable when it was answered."""

    def discard_leftovers(self) -> int:
        """A write is whole or not there: nothing is left."""
        return 0

    def _what(self, name: str) -> str:
        return f"{self.address}/{name}"

    def _object(self, name: str) -> dict[str, str]:
        return {"Bucket": self.where.bucket, "Key": self.where.key(name)}

    def _put(self, name: str, data: bytes | bytearray | memoryview) -> None:
        served = served_as(name)
        with told_of(self._what(name), self.where):
            self._client.put_object(
                **self._object(name),
                Body=bytes(data) if isinstance(data, memoryview) else data,
                ContentType=served.content_type,
                CacheControl=served.cache_control,
            )

    def _pieces(self, name: str) -> Generator[bytes]:
        """The bytes of an object. What boto3 does not: a transfer that breaks off goes on where it stopped."""
        received, version, attempts = 0, "", 0
        while True:
            rest = {"Range": f"bytes={received}-", "IfMatch": version} if received else {}
            with told_of(self._what(name), self.where):
                answer = self._client.get_object(**self._object(name), **rest)
            version = answer["ETag"]
            with closing(answer["Body"]) as body:
                try:
                    while piece := self._next_piece(name, body):
                        received += len(piece)
                        yield piece
                except NetworkError:
                    attempts += 1
                    if attempts >= self._limits.attempts:
                        raise
                else:
                    return

    def _next_piece(self, name: str, body: Any) -> bytes:
        with told_of(self._what(name), self.where):
            piece: bytes = body.read(PIECE_BYTES)
        return piece


def _connected(where: S3Address, limits: S3Limits) -> Any:
    """boto3's client, which has no types. It opens no connection yet."""
    try:
        # Half a second of imports, for those alone who publish to S3.
        from boto3.session import Session
        from botocore.config import Config
    except ModuleNotFoundError as error:
        raise MissingCapability(
            what="publishing to S3",
            problem="boto3 is not installed",
            hint="install it with `pip install 'outcrop[s3]'`",
        ) from error
    config = Config(
        connect_timeout=limits.connect,
        read_timeout=limits.stall,
        retries={"mode": "standard", "total_max_attempts": limits.attempts},
        max_pool_connections=limits.connections,
        user_agent_extra=f"outcrop/{__version__}",
        # Other servers refuse Amazon's newer checksums. The signature covers the body's SHA-256 anyway.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    with told_of(where.place, where):
        try:
            return Session().client(
                "s3", endpoint_url=where.endpoint or None, region_name=where.region or None, config=config
            )
        except ValueError as error:
            # What the environment or ~/.aws/config names as the endpoint.
            raise InvalidValue(
                what="the configuration of S3", problem=f"cannot be used: {error}", hint="check AWS_ENDPOINT_URL"
            ) from error
