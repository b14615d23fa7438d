"""Objects from a web server: many at once over few connections, with an end in sight whatever the server does.

Everything that a server, a proxy or a line can do ends a transfer within a stated time (`TransferLimits`): it does not
accept the connection, accepts and says nothing, sends a byte a second, never stops sending, stops too early, redirects
in a circle. Only `http` and `https` are spoken, redirects included. Proxies come from the environment, as for curl,
unless the store goes by another `Way`. How each fetch ended says whose trouble it was (`FetchedOverHttp`).

What arrives is collected by libcurl into a list and taken from there between its calls. No Python code runs inside
libcurl, so Ctrl-C is never lost in a callback.

Connections wait for the distance, not for us: while transfers take long and there is nothing to do, more of them are
opened, up to a bound.
"""

from __future__ import annotations

import email.utils
import os
import random
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlsplit

import pycurl

from outcrop import __version__
from outcrop.errors import InvalidValue, NetworkError, NotFound, OutcropError
from outcrop.storage.interface import DEFAULT_READ_LIMIT, Wanted
from outcrop.storage.way import (
    PAST_CACHES,
    STRAIGHT,
    FetchedOverHttp,
    Trouble,
    Way,
    trouble_of_status,
)

USER_AGENT = f"outcrop/{__version__}"


@dataclass(frozen=True, slots=True)
class TransferLimits:
    """When a transfer is given up; times in seconds.

    With the defaults, a server that stalls costs 10 s, and an object of n bytes at most 60 + n / 4096 s.
    """

    parallel: int = 16
    """Connections at once, to begin with: as in the reference client."""
    most_parallel: int = 64
    """Connections at once to a server that is far away, over a line that bears it: 16 bring 1,100 objects/s from 14 ms
    away, 64 bring 4,500."""
    connect: float = 5.0
    stall: float = 10.0
    stall_bytes: int = 1024
    """Fewer bytes a second than this, for `stall` seconds, is a stall. The reference client's values for all three."""
    grace: float = 60.0
    average_bytes: int = 4096
    """After `grace`, the average must be at least this many bytes a second: the slowest line worth waiting for."""
    redirects: int = 5
    retries: int = 1
    """How often a transfer is tried again after an error that may pass by itself."""
    retry_pause: float = 0.4
    """The pause before that, on average."""
    unreachable: int = 3
    """After so many transfers in a row for which the server could not be reached, the others are not tried."""
    refusals: int = 32
    """The same for answers that are errors, but for missing objects."""


DEFAULT_LIMITS = TransferLimits()

_FAR_SECONDS = 0.01
"""A small object that takes longer than this, while we have nothing to do, waited for the distance."""

_WIDE = 8
"""How many times the rate of a stall each transfer must have on average before one more shares the line."""

_OK = 200
_PASSING_STATUS = frozenset({500, 502, 503, 504})
_E_HTTP2_STREAM = 92
"""CURLE_HTTP2_STREAM, which pycurl gives no name."""
_E_PROXY = 97
"""CURLE_PROXY: the handshake with the proxy failed. It has no name either."""
_PASSING_ERRORS = frozenset(
    {
        pycurl.E_COULDNT_CONNECT, pycurl.E_RECV_ERROR, pycurl.E_SEND_ERROR, pycurl.E_GOT_NOTHING,
        pycurl.E_PARTIAL_FILE, pycurl.E_HTTP2, _E_HTTP2_STREAM, pycurl.E_SSL_CONNECT_ERROR,
    }
)  # fmt: skip
_UNREACHABLE_ERRORS = frozenset(
    {
        pycurl.E_COULDNT_RESOLVE_PROXY, pycurl.E_COULDNT_RESOLVE_HOST, pycurl.E_COULDNT_CONNECT,
        pycurl.E_OPERATION_TIMEDOUT, pycurl.E_SSL_CONNECT_ERROR, pycurl.E_PEER_FAILED_VERIFICATION, _E_PROXY,
    }
)  # fmt: skip
_TROUBLES = {
    pycurl.E_COULDNT_RESOLVE_PROXY: Trouble.PROXY,
    _E_PROXY: Trouble.PROXY,
    pycurl.E_COULDNT_RESOLVE_HOST: Trouble.SERVER,
    pycurl.E_TOO_MANY_REDIRECTS: Trouble.SERVER,
    pycurl.E_UNSUPPORTED_PROTOCOL: Trouble.SERVER,
    pycurl.E_PEER_FAILED_VERIFICATION: Trouble.SERVER,
    pycurl.E_OPERATION_TIMEDOUT: Trouble.SLOW,
}
"""Whose trouble an error of libcurl is; all others are a broken line."""

_PROBLEMS = {
    pycurl.E_COULDNT_RESOLVE_PROXY: "cannot be reached: the proxy's name cannot be resolved",
    pycurl.E_COULDNT_RESOLVE_HOST: "cannot be reached: the server's name cannot be resolved",
    pycurl.E_COULDNT_CONNECT: "cannot be reached: the connection is refused",
    pycurl.E_TOO_MANY_REDIRECTS: "redirects too often",
    pycurl.E_UNSUPPORTED_PROTOCOL: "is answered by something that does not speak HTTP",
    pycurl.E_PARTIAL_FILE: "was cut short: the server ended the transfer too early",
    pycurl.E_GOT_NOTHING: "was not answered: the server closed the connection",
    pycurl.E_PEER_FAILED_VERIFICATION: "cannot be reached: the server's TLS certificate is not valid",
}

_REDIRECTS_ELSEWHERE = "redirects to something other than http and https"

_SELECT_SECONDS = 0.2
"""How long to wait for bytes before looking at deadlines and at Ctrl-C again."""

_IDLE_SECONDS = 0.001
"""The pause when libcurl has nothing to wait for but is not done, as while a name is being resolved."""

_BUFFER_BYTES = 128 * 1024

_HEAD_LINES = 200
"""How many lines of an answer's head are kept: more than any server sends, less than would hurt."""

_DNS_SHUFFLE_ADDRESSES = 275
"""CURLOPT_DNS_SHUFFLE_ADDRESSES, which pycurl gives no name: machines behind one name share the load."""

_AUTHORITIES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
"""Where Debian, RHEL, openSUSE and Alpine keep trusted authorities; a bundled libcurl knows none of them."""


class HttpStore:
    """The objects below the URL `address`, reached by `way`. May be used from any thread, and after a fork."""

    def __init__(
        self,
        address: str,
        limits: TransferLimits = DEFAULT_LIMITS,
        *,
        way: Way = STRAIGHT,
        jitter: Callable[[], float] = random.random,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`jitter` gives numbers from 0 to 1, `clock` seconds."""
        if urlsplit(address).scheme not in ("http", "https"):
            raise InvalidValue(what=f"the address {address!r}", problem="is not an http or https URL")
        self.address = address.rstrip("/")
        self.limits = limits
        self.way = way
        self._jitter = jitter
        self._clock = clock
        self._idle = _IdleConnections()

    def by_way(self, way: Way, limits: TransferLimits | None = None) -> HttpStore:
        """The same objects, reached by `way` within `limits`. Connections are shared, and end with either store."""
        other = HttpStore(self.address, limits or self.limits, way=way, jitter=self._jitter, clock=self._clock)
        other._idle = self._idle
        return other

    def url(self, name: str) -> str:
        """Where the object `name` lies."""
        return f"{self.address}/{quote(name.encode('utf-8', 'surrogateescape'), safe='/~,')}"

    def read(self, name: str, *, limit: int = DEFAULT_READ_LIMIT) -> bytes:
        whole = WholeObject(self.url(name), limit)
        for fetched in self.fetch([Wanted(name, whole)]):
            if fetched.error is not None:
                raise fetched.error
        return bytes(whole.data)

    def exists(self, name: str) -> bool:
        looked = self.look(name)
        if isinstance(looked.error, NotFound):
            return False
        if looked.error is not None:
            raise looked.error
        return True

    def look(self, name: str) -> FetchedOverHttp:
        """Whether the object is there, as the outcome of a fetch that leaves out its bytes."""
        (looked,) = self._transfers([Wanted(name, WholeObject(self.url(name), 0))], head=True)
        return looked

    def server_time(self, name: str) -> float | None:
        """What the server's clock says when it is asked for the object `name`, in seconds since 1970; None where it
        does not say, or does not answer."""
        connections = _Connections(self.limits, self.address)
        curl = connections.new_handle(self.way, self.limits)
        head: list[bytes] = []
        curl.setopt(pycurl.URL, self.url(name))
        curl.setopt(pycurl.NOBODY, 1)
        curl.setopt(pycurl.HEADERFUNCTION, head.append)
        try:
            curl.perform()
        except pycurl.error:
            return None
        finally:
            curl.close()
            connections.close()
        return _time_said(head)

    def fetch(self, wanted: Iterable[Wanted]) -> Iterator[FetchedOverHttp]:
        return self._transfers(wanted, head=False)

    def close(self) -> None:
        """Closes all connections that are not in use."""
        self._idle.close()

    def _transfers(self, wanted: Iterable[Wanted], *, head: bool) -> Iterator[FetchedOverHttp]:
        connections = self._idle.taken() or _Connections(self.limits, self.address)
        try:
            yield from _Session(self, connections, head, self._jitter, self._clock).run(iter(wanted))
        except BaseException:
            # Transfers may be under way: their connections are of no use to anybody else.
            connections.close()
            raise
        self._idle.put(connections)


class _IdleConnections:
    """Sets of connections that nobody uses now."""

    def __init__(self) -> None:
        self._sets: list[_Connections] = []
        self._lock = threading.Lock()

    def taken(self) -> _Connections | None:
        with self._lock:
            # A child process must not talk over its parent's connections.
            self._sets = [connections for connections in self._sets if connections.process == os.getpid()]
            return self._sets.pop() if self._sets else None

    def put(self, connections: _Connections) -> None:
        with self._lock:
            self._sets.append(connections)

    def close(self) -> None:
        with self._lock:
            idle, self._sets = self._sets, []
        for connections in idle:
            connections.close()


class _Connections:
    """A set of connections, kept alive between fetches, that one thread uses at a time. `parallel` is how many of them
    the last fetch came to use at once."""

    def __init__(self, limits: TransferLimits, address: str) -> None:
        self.process = os.getpid()
        self.parallel = 0
        self.multi = pycurl.CurlMulti()
        self.multi.setopt(pycurl.M_MAXCONNECTS, limits.most_parallel)
        self.multi.setopt(pycurl.M_MAX_HOST_CONNECTIONS, limits.most_parallel)
        self._free: dict[tuple[Way, TransferLimits], list[pycurl.Curl]] = {}
        self._authorities = _authorities() if address.startswith("https:") else ""

    def handles(self, way: Way, limits: TransferLimits) -> list[pycurl.Curl]:
        """The handles for `way` and `limits` that are free. Whoever is done with one puts it back."""
        return self._free.setdefault((way, limits), [])

    def new_handle(self, way: Way, limits: TransferLimits) -> pycurl.Curl:
        """A handle that is set up but for the URL."""
        curl = pycurl.Curl()
        options: dict[int, object] = {
            pycurl.USERAGENT: USER_AGENT,
            pycurl.NOSIGNAL: 1,
            pycurl.FAILONERROR: 1,
            pycurl.FOLLOWLOCATION: int(limits.redirects > 0),
            pycurl.MAXREDIRS: limits.redirects,
            pycurl.PROTOCOLS: pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS,
            pycurl.REDIR_PROTOCOLS: pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS,
            pycurl.CONNECTTIMEOUT_MS: int(limits.connect * 1000),
            pycurl.LOW_SPEED_LIMIT: limits.stall_bytes,
            pycurl.LOW_SPEED_TIME: max(1, round(limits.stall)),
            pycurl.BUFFERSIZE: _BUFFER_BYTES,
            pycurl.TCP_KEEPALIVE: 1,
            _DNS_SHUFFLE_ADDRESSES: 1,
        }
        if way.proxy is not None:
            # What the environment excepts from proxies holds for its own proxies only.
            options |= {pycurl.PROXY: way.proxy, pycurl.NOPROXY: ""}
        if way.fresh:
            options[pycurl.HTTPHEADER] = list(PAST_CACHES)
        authorities = self._authorities or (_authorities() if (way.proxy or "").startswith("https:") else "")
        if authorities:
            options |= {pycurl.CAINFO: authorities, pycurl.PROXY_CAINFO: authorities}
        for option, value in options.items():
            curl.setopt(option, value)
        return curl

    def close(self) -> None:
        for free in self._free.values():
            for curl in free:
                curl.close()
        self._free.clear()
        self.multi.close()


@dataclass(slots=True)
class _Transfer:
    """One object under way. `skip` bytes of the body went into the sink in an earlier attempt."""

    wanted: Wanted
    url: str
    attempts: int = 0
    curl: pycurl.Curl | None = None
    arrived: deque[bytes] = field(default_factory=deque)
    head: deque[bytes] = field(default_factory=deque)
    began: float = 0.0
    received: int = 0
    skip: int = 0
    delivered: int = 0


class _Session:
    """One call of `fetch`."""

    def __init__(
        self,
        store: HttpStore,
        connections: _Connections,
        head: bool,
        jitter: Callable[[], float],
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._limits = store.limits
        self._connections = connections
        self._multi = connections.multi
        self._head = head
        self._jitter = jitter
        self._clock = clock
        self._active: dict[pycurl.Curl, _Transfer] = {}
        self._paused: list[tuple[float, _Transfer]] = []
        self._ended: deque[FetchedOverHttp] = deque()
        self._way = store.way
        self._handles = connections.handles(store.way, store.limits)
        # What an earlier session has found out about the distance holds for this one.
        self._parallel = min(max(store.limits.parallel, connections.parallel), store.limits.most_parallel)
        self._was_idle = False
        self._began = clock()
        self._received = 0
        self._unreachable = 0
        self._refused = 0
        self._last: tuple[str, Trouble] | None = None

    def run(self, wanted: Iterator[Wanted]) -> Iterator[FetchedOverHttp]:
        """Every outcome, as it comes."""
        more = True
        try:
            while more or self._active or self._paused or self._ended:
                self._resume()
                while more and len(self._active) + len(self._paused) < self._parallel:
                    one = next(wanted, None)
                    if one is None:
                        more = False
                    elif self._gave_up:
                        self._ended.append(self._not_tried(one))
                        break
                    else:
                        self._start(_Transfer(one, self._store.url(one.name)))
                if self._active:
                    self._step()
                elif self._paused and not self._ended:
                    time.sleep(_SELECT_SECONDS / 10)
                while self._ended:
                    yield self._ended.popleft()
        finally:
            self._connections.parallel = self._parallel
            for curl in list(self._active):
                self._multi.remove_handle(curl)
                curl.close()

    def _start(self, transfer: _Transfer) -> None:
        curl = self._handles.pop() if self._handles else self._connections.new_handle(self._way, self._limits)
        transfer.curl = curl
        transfer.attempts += 1
        transfer.began = self._clock()
        transfer.received = 0
        transfer.skip = transfer.delivered
        transfer.arrived = deque()
        curl.setopt(pycurl.URL, transfer.url)
        curl.setopt(pycurl.NOBODY, int(self._head))
        curl.setopt(pycurl.WRITEFUNCTION, transfer.arrived.append)
        if self._way.has_proxy:
            transfer.head = deque(maxlen=_HEAD_LINES)
            curl.setopt(pycurl.HEADERFUNCTION, transfer.head.append)
        self._active[curl] = transfer
        self._multi.add_handle(curl)

    def _resume(self) -> None:
        """Starts what has paused long enough before its next attempt."""
        if self._paused:
            now = self._clock()
            due = [transfer for moment, transfer in self._paused if moment <= now]
            self._paused = [(moment, transfer) for moment, transfer in self._paused if moment > now]
            for transfer in due:
                self._start(transfer)

    def _step(self) -> None:
        """Lets libcurl do what can be done now, and takes what it brought; waits when there is nothing."""
        self._multi.perform()
        busy = False
        for transfer in list(self._active.values()):
            if transfer.arrived:
                busy = True
                self._take(transfer)
            elif self._overdue(transfer):
                self._fail(transfer, "is answered too slowly", Trouble.SLOW)
        while True:
            queued, done, failed = self._multi.info_read()
            for curl in done:
                busy = True
                self._finished(self._active.get(curl))
            for curl, code, message in failed:
                busy = True
                self._failed(self._active.get(curl), code, message)
            if not queued:
                break
        if not busy and self._active:
            self._wait()

    def _wait(self) -> None:
        self._was_idle = True
        try:
            ready = self._multi.select(_SELECT_SECONDS)
        except pycurl.error:
            # A signal came in between; its handler has run by now.
            return
        if ready <= 0:
            time.sleep(_IDLE_SECONDS)

    def _take(self, transfer: _Transfer) -> None:
        """Hands what has arrived to the sink; an error of the sink ends this transfer alone."""
        arrived = transfer.arrived
        try:
            while arrived:
                piece = arrived.popleft()
                transfer.received += len(piece)
                if transfer.skip >= len(piece):
                    transfer.skip -= len(piece)
                    continue
                piece, transfer.skip = piece[transfer.skip :], 0
                transfer.delivered += len(piece)
                transfer.wanted.sink.write(piece)
        except OutcropError as error:
            self._end(transfer, error)

    def _overdue(self, transfer: _Transfer) -> bool:
        limit = self._limits.grace + transfer.received / self._limits.average_bytes
        return self._clock() - transfer.began > limit

    def _finished(self, transfer: _Transfer | None) -> None:
        if transfer is None or transfer.curl is None:
            return
        status = transfer.curl.getinfo(pycurl.RESPONSE_CODE)
        if transfer.arrived and status == _OK:
            self._take(transfer)
        if transfer.curl is None:
            return
        if status != _OK:
            trouble = trouble_of_status(status, transfer.head, self._way)
            self._fail(transfer, f"is answered with the status {status}", trouble)
        elif transfer.skip:
            self._fail(transfer, _PROBLEMS[pycurl.E_PARTIAL_FILE], Trouble.BROKEN)
        else:
            self._unreachable = self._refused = 0
            self._widen(transfer)
            self._end(transfer, None)

    def _widen(self, transfer: _Transfer) -> None:
        """Allows one more transfer at once, where distance is what takes the time."""
        self._received += transfer.received
        if not self._was_idle or self._parallel >= self._limits.most_parallel:
            return
        self._was_idle = False
        now = self._clock()
        is_wide = self._received > _WIDE * self._limits.stall_bytes * self._parallel * (now - self._began)
        if is_wide and transfer.received <= _BUFFER_BYTES and now - transfer.began > _FAR_SECONDS:
            self._parallel += 1

    def _failed(self, transfer: _Transfer | None, code: int, message: str) -> None:
        if transfer is None or transfer.curl is None:
            return
        if code == pycurl.E_HTTP_RETURNED_ERROR:
            status = transfer.curl.getinfo(pycurl.RESPONSE_CODE)
            trouble = trouble_of_status(status, transfer.head, self._way)
            self._unreachable = 0
            if trouble is Trouble.MISSING:
                self._refused = 0
                self._end(transfer, NotFound(what=transfer.url), trouble)
                return
            self._refused += 1
            whose = "by the proxy " if trouble is Trouble.PROXY else ""
            problem, passing = f"is answered {whose}with the error {status}", status in _PASSING_STATUS
        else:
            problem, passing = self._problem(transfer.curl, code, message), code in _PASSING_ERRORS
            trouble = _TROUBLES.get(code, Trouble.BROKEN)
        if passing and transfer.attempts <= self._limits.retries:
            self._release(transfer)
            pause = self._limits.retry_pause * (0.5 + self._jitter())
            self._paused.append((self._clock() + pause, transfer))
            return
        if code in _UNREACHABLE_ERRORS:
            self._unreachable += 1
        self._fail(transfer, problem, trouble)

    def _problem(self, curl: pycurl.Curl, code: int, message: str) -> str:
        if code == pycurl.E_OPERATION_TIMEDOUT:
            if not curl.getinfo(pycurl.PRETRANSFER_TIME):
                return f"cannot be reached: no connection within {self._limits.connect:g} seconds"
            return (
                f"is answered too slowly: under {self._limits.stall_bytes} bytes a second for "
                f"{self._limits.stall:g} seconds"
            )
        if code == pycurl.E_UNSUPPORTED_PROTOCOL and curl.getinfo(pycurl.RESPONSE_CODE):
            # What is no HTTP has no status; a redirect has one.
            return _REDIRECTS_ELSEWHERE
        return _PROBLEMS.get(code) or f"cannot be fetched: {message or f'libcurl error {code}'}"

    @property
    def _gave_up(self) -> bool:
        """Whether what has not begun is not worth a try."""
        return self._unreachable >= self._limits.unreachable or self._refused >= self._limits.refusals

    def _not_tried(self, wanted: Wanted) -> FetchedOverHttp:
        problem, trouble = self._last or ("cannot be reached", Trouble.BROKEN)
        return FetchedOverHttp(wanted, NetworkError(what=self._store.url(wanted.name), problem=problem), trouble)

    def _fail(self, transfer: _Transfer, problem: str, trouble: Trouble) -> None:
        self._last = problem, trouble
        self._end(transfer, NetworkError(what=transfer.url, problem=problem), trouble)

    def _end(self, transfer: _Transfer, error: OutcropError | None, trouble: Trouble | None = None) -> None:
        self._release(transfer)
        self._ended.append(FetchedOverHttp(transfer.wanted, error, trouble))

    def _release(self, transfer: _Transfer) -> None:
        curl = transfer.curl
        assert curl is not None
        transfer.curl = None
        del self._active[curl]
        self._multi.remove_handle(curl)
        self._handles.append(curl)


class WholeObject:
    """A sink that keeps everything, up to a limit."""

    def __init__(self, url: str, limit: int) -> None:
        self.data = bytearray()
        self._url = url
        self._limit = limit

    def write(self, piece: bytes) -> None:
        self.data += piece
        if len(self.data) > self._limit:
            raise NetworkError(what=self._url, problem=f"is answered with more than {self._limit} bytes")


def _time_said(head: Iterable[bytes]) -> float | None:
    """The server's time by `head`, the lines of one answer or, after redirects, of several: the last one counts.

    The date in a cache's copy is that of its making; its age is said beside it (RFC 9111)."""
    said: dict[str, str] = {}
    for line in head:
        name, colon, value = line.decode("latin-1").partition(":")
        if colon:
            said[name.lower()] = value.strip()
        elif name.startswith("HTTP/"):
            said.clear()
    try:
        return email.utils.parsedate_to_datetime(said["date"]).timestamp() + float(said.get("age", "0"))
    except (LookupError, ValueError):
        return None


def _authorities() -> str:
    """The file with the authorities that this system trusts; empty to leave it to libcurl."""
    chosen = os.environ.get("CURL_CA_BUNDLE") or os.environ.get("SSL_CERT_FILE")
    found = [ssl.get_default_verify_paths().cafile or "", *_AUTHORITIES]
    return chosen or next((path for path in found if path and Path(path).is_file()), "")
