"""The ways of reading that every attack is tried on. A replica joins them as soon as there is one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import pytest

from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.names import RepositoryName
from tests.client.attacks.promised import FILES, contents
from tests.client.attacks.reading_once import Answer, Order, read_without_a_mount
from tests.client.mount.private_place import ROOT, reason_against_mounting
from tests.client.published import NAME, NOW, Keys, Published, keys
from tests.faulty_server import Site, serving

STATED_SECONDS = 45.0
"""Within this time every attack ends, in refusal or in the right bytes. A server that stalls costs 10 s
(`TransferLimits.stall`); nothing here stalls more than three times in a row."""

PRIVATE = ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc"]


@dataclass
class Victim:
    """A machine that reads in one `way`, and remembers what it has seen from one reading to the next."""

    directory: Path
    way: str
    now: datetime = NOW
    owner: Keys = field(default_factory=keys)

    def read(
        self,
        *servers: str,
        now: datetime | None = None,
        name: RepositoryName = NAME,
        forbidden: Sequence[Digest] = (),
    ) -> Answer:
        """Reads everything there is, as at the time `now`. Fails the test if that takes longer than is stated."""
        self.directory.mkdir(exist_ok=True)
        key = self.directory / "key.pub"
        key.write_bytes(self.owner.public_pem)
        order = Order(
            str(self.directory),
            servers,
            str(key),
            (now or self.now).isoformat(),
            name,
            tuple(one.text for one in forbidden),
        )
        answer = read_without_a_mount(order) if self.way == "daemonless" else self._mounted(order)
        assert answer.seconds < STATED_SECONDS
        return answer

    def _mounted(self, order: Order) -> Answer:
        place = self.directory / "order.json"
        order.save(place)
        rootless = [] if os.geteuid() == 0 else ["--map-root-user"]
        ended = subprocess.run(
            [PRIVATE[0], *rootless, *PRIVATE[1:], sys.executable, "-m", "tests.client.attacks.reading_once", place],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=2 * STATED_SECONDS,
            check=False,
        )
        assert ended.returncode == 0, ended.stdout.decode(errors="replace")
        return Answer.load(place.with_suffix(".answer"))


@pytest.fixture(params=["daemonless", pytest.param("mount", marks=pytest.mark.integration)])
def victim(request: pytest.FixtureRequest, tmp_path: Path) -> Victim:
    way: str = request.param
    if way == "mount" and reason_against_mounting():
        pytest.skip(reason_against_mounting())
    return Victim(tmp_path / "victim", way)


@dataclass
class Web:
    """Servers on loopback, for as long as the test lasts."""

    stack: ExitStack

    def serve(self, published: Published | Site) -> str:
        """The URL under which `published` is served."""
        site = published if isinstance(published, Site) else Site(published.files)
        return self.stack.enter_context(serving(site))


@pytest.fixture
def web() -> Iterator[Web]:
    with ExitStack() as stack:
        yield Web(stack)


def is_right(answer: Answer, revision: int) -> bool:
    """Whether all bytes of edition `revision` were read, and no others."""
    return not answer.refusal and not answer.failures and answer.files == contents(revision)


def never_wrong(answer: Answer, *revisions: int) -> bool:
    """Whether whatever was read is of one of the editions `revisions`; what was not read failed as an error."""
    told = bool(answer.refusal or answer.failures) or set(answer.files) == set(FILES)
    return told and any(answer.files.items() <= contents(revision).items() for revision in revisions)
