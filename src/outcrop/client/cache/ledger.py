"""How full a cache is, known by all of its users without looking at every object.

In `.outcrop/` lie

- `usage`: what a look at everything found, and when: `{"bytes": …, "objects": …, "measured": …}`;
- `members/NAME`: what the process NAME has added and removed since, and what it has reserved (bytes on disk, decimal,
  each in 20 digits, then a CRC-32 of that text): written before any of the reserved room is used.

The sum of all is how full the cache is, or a little more, never less, as far as its users keep this ledger. A process
that dies leaves its file, so what it added stays counted. Errors towards "too full" are taken out by the next look at
everything, which each eviction begins with; others, from users who keep no ledger, too.

Each file is written by one process only, so no lock is needed, and a file system without locks will do.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from outcrop.client.cache.bookkeeping import bookkeeping, make_directory, open_shared
from outcrop.client.cache.members import Member
from outcrop.client.cache.scan import files_in, remove

_DIGITS = 20
_RECORD = f"%0{_DIGITS}d %0{_DIGITS}d %0{_DIGITS}d"
_RECORD_BYTES = 3 * _DIGITS + 2
_ATTEMPTS = 3
"""A record that is being written while it is read has a wrong checksum for a moment."""


@dataclass(frozen=True, slots=True)
class Account:
    """What one process did to a cache, in bytes on disk."""

    added: int = 0
    removed: int = 0
    reserved: int = 0

    @property
    def net(self) -> int:
        return self.added - self.removed + self.reserved

    def encode(self) -> bytes:
        text = (_RECORD % (self.added, self.removed, self.reserved)).encode()
        return b"%s %08x\n" % (text, zlib.crc32(text))

    @classmethod
    def decode(cls, data: bytes) -> Account | None:
        """The account that `data` holds; None if it holds none."""
        text, checksum = data[:_RECORD_BYTES], data[_RECORD_BYTES:].strip()
        try:
            if int(checksum, 16) != zlib.crc32(text):
                return None
            added, removed, reserved = map(int, text.split())
        except ValueError:
            return None
        return cls(added, removed, reserved)


@dataclass(frozen=True, slots=True)
class MemberAccount:
    """An account, whose it is, and when it was written (seconds)."""

    name: str
    account: Account
    written_at: float

    def is_gone(self, now: float) -> bool:
        """Whether the process has ended; a file that nobody can have written counts as left by one."""
        member = Member.parse(self.name)
        return member is None or member.is_gone(self.written_at, now)


@dataclass(frozen=True, slots=True)
class Measurement:
    """What a look at everything found: bytes on disk, objects, and when that was (seconds since 1970)."""

    bytes: int
    objects: int
    measured_at: float


@dataclass(frozen=True, slots=True)
class Usage:
    """How full a cache is: bytes on disk, what is reserved included; `active` counts processes that reserve."""

    bytes: int
    active: int
    measured_at: float


class Ledger:
    """The ledger of the cache `root`. All methods raise OSError where its files cannot be read or written."""

    def __init__(self, root: bytes) -> None:
        self._directory = bookkeeping(root)
        self._members = self._directory + b"/members"
        self._usage = self._directory + b"/usage"

    def begin(self) -> None:
        """Makes the ledger's directories."""
        make_directory(self._members)

    def write(self, member: Member, account: Account) -> None:
        """Says what `member` did and needs. Readers see the old or the new account."""
        path = self._path(member.name)
        try:
            descriptor = open_shared(path, os.O_WRONLY | os.O_CREAT)
        except FileNotFoundError:
            self.begin()
            descriptor = open_shared(path, os.O_WRONLY | os.O_CREAT)
        try:
            os.pwrite(descriptor, account.encode(), 0)
        finally:
            os.close(descriptor)

    def forget(self, name: str) -> None:
        """Takes an account out."""
        remove(self._path(name))

    def accounts(self) -> list[MemberAccount]:
        """All accounts."""
        found = []
        for entry, status in files_in(self._members):
            account = _read(entry.path)
            if account is not None:
                found.append(MemberAccount(os.fsdecode(entry.name), account, status.st_mtime))
        return found

    def measurement(self) -> Measurement | None:
        """The last look at everything; None where there was none."""
        try:
            with open(self._usage, "rb") as file:
                content = json.load(file)
            return Measurement(int(content["bytes"]), int(content["objects"]), float(content["measured"]))
        except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
            return None

    def usage(self) -> Usage | None:
        """How full the cache is; None where nobody has looked yet."""
        base = self.measurement()
        if base is None:
            return None
        accounts = self.accounts()
        total = base.bytes + sum(one.account.net for one in accounts)
        active = sum(one.account.reserved > 0 for one in accounts)
        return Usage(max(total, 0), active, base.measured_at)

    def rebase(
        self,
        found: Measurement,
        before: Sequence[MemberAccount],
        gone: Callable[[MemberAccount], bool],
    ) -> None:
        """Makes `found` the new beginning. `before` are the accounts from before the look began.

        What came in while it lasted may be counted twice, and is never left out. Accounts of members that were `gone`
        before it began are taken out: what they did has been seen."""
        added = {one.name: one.account.added for one in before if not gone(one)}
        ended = [one.name for one in before if one.name not in added]
        base = found.bytes - sum(added.values())
        base += sum(one.account.removed for one in self.accounts() if one.name not in ended)
        self._write_usage(Measurement(base, found.objects, found.measured_at))
        for name in ended:
            self.forget(name)

    def fold(self, gone: Callable[[MemberAccount], bool]) -> None:
        """Adds the accounts of members that are `gone` to the last measurement, so that there are few files to read.
        Only who holds the lock may do that."""
        base = self.measurement()
        ended = [one for one in self.accounts() if gone(one)]
        if base is None or not ended:
            return
        total = base.bytes + sum(one.account.net for one in ended)
        self._write_usage(Measurement(total, base.objects, base.measured_at))
        for one in ended:
            self.forget(one.name)

    def _write_usage(self, base: Measurement) -> None:
        temporary = b"%s.%s" % (self._usage, os.urandom(4).hex().encode())
        content = {"bytes": base.bytes, "objects": base.objects, "measured": base.measured_at}
        try:
            with open(open_shared(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "w", encoding="utf-8") as file:
                json.dump(content, file)
            os.replace(temporary, self._usage)
        except BaseException:
            remove(temporary)
            raise

    def _path(self, name: str) -> bytes:
        return b"%s/%s" % (self._members, name.encode())


def _read(path: bytes) -> Account | None:
    for _ in range(_ATTEMPTS):
        try:
            with open(path, "rb") as file:
                account = Account.decode(file.read())
        except FileNotFoundError:
            return None
        if account is not None:
            return account
    return None
