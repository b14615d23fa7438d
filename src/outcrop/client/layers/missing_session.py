"""The conversation with the kernel about missing files: requests in from the device, answers out.

The thread that serves answers at once what the cache can answer. What has to be fetched is handed to others, so a slow
server holds up those only who wait for its bytes. When the last mount of the layer is gone, the kernel ends the
conversation.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from outcrop.client.layers.missing_files import Asking, MissingFiles, Reading, Refused, Wanted
from outcrop.client.mount import protocol
from outcrop.client.mount.activity import Activity
from outcrop.client.mount.protocol import InitRequest, Opcode
from outcrop.client.mount.requests import next_request
from outcrop.client.mount.session import is_dying
from outcrop.errors import OutcropError

FETCHES = 16
"""Readers that may wait for the network at once."""

_AHEAD_THREADS = 4
_REQUEST_BYTES = 64 * 1024 + protocol.MINIMUM_BUFFER_BYTES
"""No request of a layer that nobody writes to is longer."""

_NOBODY_WAITS = frozenset({errno.ENOENT, errno.ENODEV, errno.ECONNABORTED, errno.EPIPE, errno.ECONNRESET})
_UNANSWERED = frozenset({Opcode.FORGET, Opcode.BATCH_FORGET})
_LOG = logging.getLogger("outcrop.mount")


class MissingSession:
    """Answers what the kernel asks through `device` of `files`. `activity` counts requests and errors."""

    def __init__(
        self, device: int, files: MissingFiles, *, fetches: int = FETCHES, activity: Activity | None = None
    ) -> None:
        self._device = device
        self._files = files
        self._activity = activity or Activity()
        self._fetches = ThreadPoolExecutor(fetches, thread_name_prefix="fetch")
        self._ahead = ThreadPoolExecutor(_AHEAD_THREADS, thread_name_prefix="ahead")
        self._asking = ThreadPoolExecutor(1, thread_name_prefix="asking")
        self._lock = threading.Lock()
        self._askers: dict[int, int] = {}

    def run(self) -> None:
        """Serves until the kernel ends the conversation. Fetches may still be under way then."""
        buffer = bytearray(_REQUEST_BYTES)
        view = memoryview(buffer)
        tally = self._activity.new_tally()
        while length := next_request(self._device, buffer):
            _, opcode, unique, node, _, _, pid, _, _ = protocol.IN_HEADER.unpack_from(buffer)
            body = view[protocol.IN_HEADER.size : length]
            tally.requests += 1
            if opcode == Opcode.INIT:
                self._reply(unique, protocol.init_reply(InitRequest.parse(body)))
            elif opcode == Opcode.INTERRUPT:
                self._interrupt(*protocol.INTERRUPT_IN.unpack_from(body))
            elif opcode not in _UNANSWERED:
                self._answer(opcode, unique, node, body, pid)
        self._end_pools(wait=False)

    def close(self) -> None:
        """Waits for the fetches that are under way: nobody writes to the device any more after that."""
        self._end_pools(wait=True)

    def _end_pools(self, *, wait: bool) -> None:
        for pool in (self._fetches, self._ahead, self._asking):
            pool.shutdown(wait=wait, cancel_futures=True)

    def _answer(self, opcode: int, unique: int, node: int, body: memoryview, pid: int) -> None:
        try:
            answer = self._files.answer(opcode, node, body)
        except (KeyError, IndexError):
            answer = Refused(errno.ESTALE)
        except Exception as error:
            answer = self._failed(error)
        if not isinstance(answer, Wanted | Asking | Reading):
            self._reply(unique, answer)
            return
        with self._lock:
            self._askers[unique] = pid
        if isinstance(answer, Wanted):
            self._fetches.submit(self._answer_late, unique, partial(self._files.fetch, answer))
            if answer.ahead:
                self._ahead.submit(self._fetch_ahead, answer)
        else:
            pool = self._asking if isinstance(answer, Asking) else self._fetches
            pool.submit(self._answer_late, unique, answer.answer)

    def _answer_late(self, unique: int, work: Callable[[], bytes | Refused]) -> None:
        try:
            answer = work()
        except Exception as error:
            answer = self._failed(error)
        if self._take(unique) is not None:
            self._reply(unique, answer)

    def _fetch_ahead(self, wanted: Wanted) -> None:
        try:
            self._files.fetch_ahead(wanted)
        except OutcropError:
            # Nobody asked for it. Who does will try for himself, and be told.
            return

    def _take(self, unique: int) -> int | None:
        with self._lock:
            return self._askers.pop(unique, None)

    def _interrupt(self, unique: int) -> None:
        """A process that is being killed need not wait for the network."""
        pid = self._askers.get(unique)
        if pid is not None and is_dying(pid) and self._take(unique) is not None:
            self._reply(unique, Refused(errno.EINTR))

    def _failed(self, error: Exception) -> Refused:
        """The answer to a request that `error` ended, which is told and counted."""
        if isinstance(error, OutcropError | OSError):
            _LOG.error("%s", error)
        else:
            _LOG.error("a fault in outcrop itself", exc_info=error)
        self._activity.failed(str(error))
        return Refused(errno.EIO)

    def _reply(self, unique: int, answer: bytes | Refused) -> None:
        try:
            if isinstance(answer, Refused):
                os.write(self._device, protocol.refusal(unique, answer.errno))
            else:
                os.writev(self._device, (protocol.reply_header(unique, len(answer)), answer))
        except OSError as error:
            if error.errno not in _NOBODY_WAITS:
                _LOG.error("the kernel does not take an answer: %s", error)
