"""Downloads that are verified before they get their name, give up early on dead hosts, and can be cancelled."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Protocol
from urllib.parse import urlsplit

import pycurl

from outcrop.errors import IntegrityError, Interrupted, NetworkError, storage_error

CONNECT_TIMEOUT_SECONDS = 8
"""Enough for a slow TLS handshake across the world, short enough for a machine without a way out."""

STALL_SECONDS = 30
STALL_BYTES_PER_SECOND = 1024
"""A transfer slower than this for that long is as good as dead."""

MAXIMUM_REDIRECTS = 8

NOT_MODIFIED = 304
HTTP_ERRORS_FROM = 400

_HOST_FAULTS = frozenset(
    {
        pycurl.E_COULDNT_RESOLVE_HOST,
        pycurl.E_COULDNT_RESOLVE_PROXY,
        pycurl.E_COULDNT_CONNECT,
        pycurl.E_SSL_CONNECT_ERROR,
        pycurl.E_PEER_FAILED_VERIFICATION,
    }
)
"""curl's words for troubles that any other address at the same host would meet as well."""


_TOO_MUCH_HINT = "check the address: it is more than is ever expected there"


class Fetcher(Protocol):
    """Reads addresses. `Downloads` does so over the network; tests have their own."""

    def read(self, url: str, headers: Iterable[str] = (), limit: int | None = None) -> bytes:
        """The whole answer to `url`; NetworkError, also for one of more than `limit` bytes."""

    def read_changed(self, url: str, etag: str) -> Changed | None:
        """What `url` holds, or None where it still is what `etag` named; NetworkError."""

    def store(self, url: str, destination: Path, sha256: tuple[str, ...], on_bytes: Callable[[int], None]) -> None:
        """`url`'s bytes at `destination`, all or nothing, with one of the digests `sha256`.

        Raises NetworkError, IntegrityError or StorageError; then nothing is at `destination` that was not before.
        """


@dataclass(frozen=True, slots=True)
class Changed:
    """An answer with the tag by which to ask again."""

    body: bytes
    etag: str


def _shared_names() -> pycurl.CurlShare:
    """What transfers share: a host's address is looked up once, not for each file."""
    share = pycurl.CurlShare()
    share.setopt(pycurl.SH_SHARE, pycurl.LOCK_DATA_DNS)
    return share


@dataclass(slots=True)
class Downloads:
    """Downloads with curl. Safe to use from several threads.

    A host that could not be reached is not tried again by this object. `cancelled`, once set, ends every transfer
    with Interrupted. `partial` is the directory for unfinished files, on the file system of their destinations.
    """

    partial: Path
    cancelled: threading.Event = field(default_factory=threading.Event)
    _dead: dict[str, str] = field(default_factory=dict)
    _count: int = 0
    _names: pycurl.CurlShare = field(default_factory=_shared_names)

    def read(self, url: str, headers: Iterable[str] = (), limit: int | None = None) -> bytes:
        body = io.BytesIO()

        def write(data: bytes) -> int:
            if limit is not None and body.tell() + len(data) > limit:
                raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
            return body.write(data)

        try:
            self._transfer(url, write, headers)
        except OSError:
            raise NetworkError(what=url, problem=f"sends more than {limit:,} bytes", hint=_TOO_MUCH_HINT) from None
        return body.getvalue()

    def read_changed(self, url: str, etag: str) -> Changed | None:
        body = io.BytesIO()
        answer_headers: dict[str, str] = {}

        def remember(line: bytes) -> None:
            name, _, value = line.decode("latin-1").partition(":")
            answer_headers[name.strip().lower()] = value.strip()

        status = self._transfer(url, body.write, [f"If-None-Match: {etag}"] if etag else [], remember)
        if status == NOT_MODIFIED:
            return None
        return Changed(body.getvalue(), answer_headers.get("etag", ""))

    def store(self, url: str, destination: Path, sha256: tuple[str, ...], on_bytes: Callable[[int], None]) -> None:
        self._count += 1
        unfinished = self.partial / f"{os.getpid()}-{threading.get_ident()}-{self._count}"
        try:
            self.partial.mkdir(parents=True, exist_ok=True)
            with unfinished.open("wb") as file:
                digest = self._store(url, file, on_bytes)
                if digest not in sha256:
                    raise IntegrityError(what=url, problem=f"its SHA-256 is {digest}, expected {' or '.join(sha256)}")
                file.flush()
                os.fsync(file.fileno())
            destination.parent.mkdir(parents=True, exist_ok=True)
            unfinished.replace(destination)
        except OSError as error:
            raise storage_error(error, str(destination)) from error
        finally:
            unfinished.unlink(missing_ok=True)

    def _store(self, url: str, file: BinaryIO, on_bytes: Callable[[int], None]) -> str:
        digest = hashlib.sha256()

        def write(data: bytes) -> int:
            digest.update(data)
            file.write(data)
            on_bytes(len(data))
            return len(data)

        self._transfer(url, write)
        return digest.hexdigest()

    def _transfer(
        self,
        url: str,
        write: Callable[[bytes], int],
        headers: Iterable[str] = (),
        on_header: Callable[[bytes], None] | None = None,
    ) -> int:
        host = urlsplit(url).netloc
        if host in self._dead:
            raise NetworkError(what=host, problem=f"is not tried again: {self._dead[host]}")
        fault: list[OSError] = []

        def guarded(data: bytes) -> int:
            try:
                return write(data)
            except OSError as error:
                fault.append(error)
                return 0

        handle = pycurl.Curl()
        try:
            handle.setopt(pycurl.URL, url)
            handle.setopt(pycurl.SHARE, self._names)
            handle.setopt(pycurl.NOSIGNAL, 1)
            handle.setopt(pycurl.FOLLOWLOCATION, 1)
            handle.setopt(pycurl.MAXREDIRS, MAXIMUM_REDIRECTS)
            handle.setopt(pycurl.CONNECTTIMEOUT, CONNECT_TIMEOUT_SECONDS)
            handle.setopt(pycurl.LOW_SPEED_LIMIT, STALL_BYTES_PER_SECOND)
            handle.setopt(pycurl.LOW_SPEED_TIME, STALL_SECONDS)
            handle.setopt(pycurl.HTTPHEADER, list(headers))
            handle.setopt(pycurl.WRITEFUNCTION, guarded)
            handle.setopt(pycurl.NOPROGRESS, 0)
            handle.setopt(pycurl.XFERINFOFUNCTION, lambda *_numbers: int(self.cancelled.is_set()))
            # Errors' pages must not be taken for the file.
            handle.setopt(pycurl.FAILONERROR, 1)
            if on_header is not None:
                handle.setopt(pycurl.HEADERFUNCTION, on_header)
            try:
                handle.perform()
            except pycurl.error as error:
                code, words = error.args[0], str(error.args[1])
                if fault:
                    raise fault[0] from None
                if self.cancelled.is_set():
                    raise Interrupted() from None
                # A connection that timed out before any byte came is the host's fault; a slow transfer is not.
                never_connected = code == pycurl.E_OPERATION_TIMEDOUT and not handle.getinfo(pycurl.CONNECT_TIME)
                if code in _HOST_FAULTS or never_connected:
                    self._dead[host] = words
                raise NetworkError(what=url, problem=f"cannot be fetched: {words}") from None
            status: int = handle.getinfo(pycurl.RESPONSE_CODE)
        finally:
            handle.close()
        return status


ABANDONED_AFTER_SECONDS = 24 * 3600
"""An unfinished download that nothing has touched for a day belongs to a process that was killed."""


def remove_abandoned(partial: Path, now: float | None = None) -> None:
    """Remove what killed processes left in the directory `partial`."""
    moment = time.time() if now is None else now
    try:
        for path in partial.iterdir():
            if moment - path.stat().st_mtime > ABANDONED_AFTER_SECONDS:
                path.unlink(missing_ok=True)
    except FileNotFoundError:
        return
    except OSError as error:
        raise storage_error(error) from error
