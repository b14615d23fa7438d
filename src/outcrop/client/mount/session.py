"""The conversation with the kernel: requests in from the device, answers out, by a few threads.

Reader threads take requests and answer them. An answer that may need the network is handed to another pool of threads,
so that a slow or dead server holds up only those who wait for its bytes. The kernel asks for most things once and
remembers the answer, so a few threads are enough (`docs/internals/mount.md` has the measurements).

The thread that starts a session only waits. When the kernel ends the conversation, because nothing uses the mount any
more, all readers end.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from outcrop.client.mount import protocol
from outcrop.client.mount.filesystem import NOT_SUPPORTED, STALE, Answer, FileSystem, Handler, Later, Reader, Refusal
from outcrop.client.mount.protocol import InitRequest, Opcode
from outcrop.client.mount.requests import CONNECTION_ENDED, Request, next_request
from outcrop.errors import OutcropError, StorageError

READERS = 2
"""Threads that take requests: one can copy bytes, which needs no interpreter lock, while the other looks things up.
More of them gained nothing in measurements."""

_HEADER_BYTES = protocol.IN_HEADER.size
_BODY = (bytes, memoryview)
_COPYING = frozenset({Opcode.READ})
"""Requests during which another thread takes the next one. All others are answered in no time: to wake another thread
for the next one, on another processor perhaps, would take longer."""

MAXIMUM_FETCHES = 32
"""Answers that may wait for the network at once."""

_REQUEST_BYTES = 64 * 1024 + protocol.MINIMUM_BUFFER_BYTES
"""No request of a mount that nobody writes to is longer; SETXATTR's value (64 KiB) comes nearest."""

_NOBODY_WAITS = frozenset({errno.ENOENT, errno.ENODEV, errno.ECONNABORTED, errno.EPIPE, errno.ECONNRESET})
_FORGETTING = frozenset({Opcode.FORGET, Opcode.BATCH_FORGET})
_UNKNOWN_THERE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EINVAL})
"""The kernel does not know what it was told to forget."""

_LOG = logging.getLogger("outcrop.mount")


class Session:
    """Answers the kernel's requests that come through `device` for `file_system`.

    `files` is how many cached files each reader keeps open, `fetches` how many answers may wait for the network.
    """

    def __init__(
        self,
        device: int,
        file_system: FileSystem,
        *,
        readers: int = READERS,
        files: int = 32,
        fetches: int = MAXIMUM_FETCHES,
    ) -> None:
        self._device = device
        self._file_system = file_system
        self._readers = readers
        self._files = files
        self._handlers: Mapping[int, Handler] = {}
        self._fetches = ThreadPoolExecutor(fetches, thread_name_prefix="fetch")
        self._lock = threading.Lock()
        self._turn = threading.Lock()
        self._waiting: dict[object, list[_Waiting]] = {}
        self._askers: dict[int, int] = {}
        self._threads: list[threading.Thread] = []
        self._left = 0

    def negotiate(self) -> None:
        """Agrees with the kernel on the protocol. StorageError if the kernel ends the conversation instead."""
        buffer = bytearray(_REQUEST_BYTES)
        while not self._handlers:
            length = next_request(self._device, buffer)
            if not length:
                raise StorageError(what="the mount", problem="was taken away before it was ready", hint="try again")
            header = protocol.RequestHeader.parse(buffer)
            if header.opcode != Opcode.INIT:
                self._reply(header.unique, Refusal(errno.EIO))
                continue
            offer = InitRequest.parse(memoryview(buffer)[protocol.IN_HEADER.size : length])
            if offer.major == protocol.MAJOR_VERSION:
                self._handlers = self._file_system.handlers(offer.flags & protocol.WANTED_FLAGS)
            self._reply(header.unique, protocol.init_reply(offer))

    def start(self, ended: Callable[[], None]) -> None:
        """Begins to answer. `ended` is called, by another thread, when the kernel has ended the conversation."""
        self._left = self._readers

        def serve() -> None:
            try:
                self._serve()
            finally:
                with self._lock:
                    self._left -= 1
                    is_last = not self._left
                if is_last:
                    ended()

        self._threads = [threading.Thread(target=serve, name=f"reader-{n}", daemon=True) for n in range(self._readers)]
        for thread in self._threads:
            thread.start()

    def tell(self, notices: Iterable[bytes]) -> None:
        """Hands `notices` to the kernel, in their order. A notice about a name waits for look-ups in that directory, so
        no thread that answers may call this."""
        for notice in notices:
            try:
                os.write(self._device, notice)
            except OSError as error:
                if error.errno in CONNECTION_ENDED:
                    return
                if error.errno not in _UNKNOWN_THERE:
                    _LOG.error("the kernel does not take a notice: %s", error)

    def join(self) -> None:
        """Waits until all readers have ended."""
        for thread in self._threads:
            thread.join()

    def close(self) -> None:
        """Waits for the fetches that are under way, and ends the threads for them."""
        self._fetches.shutdown(cancel_futures=True)

    def _serve(self) -> None:
        """Answers requests until there are no more. Whoever has the turn takes the next one."""
        buffer = bytearray(_REQUEST_BYTES)
        reader = Reader(self._files, self._file_system.activity.new_tally())
        parse_header = protocol.IN_HEADER.unpack_from
        try:
            with self._turn:
                while length := next_request(self._device, buffer):
                    _, opcode, unique, node, _, _, pid, _, _ = parse_header(buffer)
                    request = Request(opcode, unique, node, pid, memoryview(buffer)[_HEADER_BYTES:length])
                    reader.tally.requests += 1
                    if opcode not in _COPYING:
                        self._handle(request, reader)
                    elif self._answered_from_memory(request):
                        self._prepare_next(node, reader)
                    elif not self._file_system.comes(request):
                        self._turn.release()
                        try:
                            self._handle(request, reader)
                            self._prepare_next(node, reader)
                        finally:
                            self._turn.acquire()
        finally:
            reader.files.close()

    def _answered_from_memory(self, request: Request) -> bool:
        ready = self._file_system.ready(request.node, request.body)
        if ready is None:
            return False
        self._reply(request.unique, ready)
        return True

    def _prepare_next(self, node: int, reader: Reader) -> None:
        """Gets ready what will probably be read after `node`, and answers those who want it already."""
        asked: Sequence[Request]
        while asked := self._prepared(node):
            for request in asked:
                if not self._answered_from_memory(request):
                    self._handle(request, reader)
            node = asked[-1].node

    def _prepared(self, node: int) -> Sequence[Request]:
        try:
            return self._file_system.prepare(node)
        except Exception as error:
            # Nobody waits for it, and whoever wants it later will be told what is wrong.
            _LOG.error("a fault in outcrop itself", exc_info=error)
            return ()

    def _handle(self, request: Request, reader: Reader) -> None:
        """Answers `request`, or has it answered later."""
        opcode, unique, node, pid, body = request
        handler = self._handlers.get(opcode)
        if handler is not None:
            answer = self._answer(handler, node, body, reader)
            if isinstance(answer, Later):
                self._postpone(answer, unique, pid)
            else:
                self._reply(unique, answer)
        elif opcode == Opcode.INTERRUPT:
            self._interrupt(*protocol.INTERRUPT_IN.unpack_from(body))
        elif opcode in _FORGETTING:
            for one in protocol.forgotten_nodes(opcode, node, body):
                self._file_system.nodes.forget(one)
        else:
            self._reply(unique, NOT_SUPPORTED)

    def _answer(self, handler: Handler, node: int, body: memoryview, reader: Reader) -> Answer:
        try:
            try:
                return handler(node, body, reader)
            except OutcropError as error:
                if not _out_of_descriptors(error):
                    raise
                reader.files.close()
                return handler(node, body, reader)
        except KeyError:
            return STALE
        except Exception as error:
            return self._failed(error)

    def _failed(self, error: Exception) -> Refusal:
        """EIO, and a line in the log that says why."""
        self._file_system.activity.failed(str(error))
        if isinstance(error, OutcropError | OSError):
            _LOG.error("%s", error)
        else:
            _LOG.error("a fault in outcrop itself", exc_info=error)
        return Refusal(errno.EIO)

    def _postpone(self, later: Later, unique: int, pid: int) -> None:
        """Has `later` answered by the pool, together with all who wait for the same."""
        self._askers[unique] = pid
        with self._lock:
            waiting = self._waiting.get(later.key)
            if waiting is not None:
                waiting.append((unique, later))
                return
            self._waiting[later.key] = [(unique, later)]
        self._fetches.submit(self._prepare, later)

    def _prepare(self, later: Later) -> None:
        failure: Refusal | None = None
        try:
            later.prepare()
        except Exception as error:
            failure = self._failed(error)
        with self._lock:
            waiting = self._waiting.pop(later.key)
        for unique, one in waiting:
            answer = failure or self._late_answer(one)
            if self._askers.pop(unique, None) is not None:
                self._reply(unique, answer)

    def _late_answer(self, later: Later) -> Answer:
        try:
            answer = later.answer()
        except KeyError:
            return STALE
        except Exception as error:
            return self._failed(error)
        assert not isinstance(answer, Later), "what was prepared can be answered"
        return answer

    def _interrupt(self, unique: int) -> None:
        """A process that is being killed need not wait for the network. (Other signals do not cut a read short: few
        programs expect that of a file.)"""
        pid = self._askers.get(unique)
        if pid is not None and is_dying(pid) and self._askers.pop(unique, None) is not None:
            self._reply(unique, Refusal(errno.EINTR))

    def _reply(self, unique: int, answer: Answer) -> None:
        try:
            if isinstance(answer, _BODY):
                os.writev(self._device, (protocol.reply_header(unique, len(answer)), answer))
            elif isinstance(answer, Refusal):
                os.write(self._device, protocol.refusal(unique, answer.errno))
        except OSError as error:
            if error.errno not in _NOBODY_WAITS:
                _LOG.error("the kernel does not take an answer: %s", error)


_Waiting = tuple[int, Later]


def _out_of_descriptors(error: OutcropError) -> bool:
    return isinstance(error.__cause__, OSError) and error.__cause__.errno in (errno.EMFILE, errno.ENFILE)


_SIGKILL_BIT = 1 << 8


def is_dying(pid: int, proc: Path = Path("/proc")) -> bool:
    """Whether a fatal signal has reached the process or thread `pid`: the kernel then marks SIGKILL as pending."""
    try:
        text = (proc / str(pid) / "status").read_text()
    except OSError:
        return False
    pending = [line.split()[1] for line in text.splitlines() if line.startswith(("SigPnd:", "ShdPnd:"))]
    return any(int(mask, 16) & _SIGKILL_BIT for mask in pending)
