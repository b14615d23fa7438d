"""The ways of reading that every attack is tried on. A replica joins them as soon as there is one."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import pytest

from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.names import RepositoryName
from tests.client.attacks.private_program import PrivateProgram, private_program, reason_against
from tests.client.attacks.promised import FILES, contents
from tests.client.attacks.reading_once import (
    DAEMONLESS,
    MOUNT,
    RUNS,
    Answer,
    Order,
    answer_beside,
    read_without_a_mount,
)
from tests.client.published import NAME, NOW, Keys, Published, keys
from tests.faulty_server import Site, serving

STATED_SECONDS = 45.0
"""Within this time every attack ends, in refusal or in the right bytes. A server that stalls costs 10 s
(`TransferLimits.stall`); nothing here stalls more than three times in a row."""

_PATIENT = (DAEMONLESS, MOUNT)
"""The ways in which a server that stalls is waited for as long as by default. Once is enough to see that it is given
up: elsewhere the tests would only wait."""


class Machine:
    """Where everything that mounts is read, as long as the tests last. It is started when it is needed first, and again
    after a test that it did not come through."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._program: PrivateProgram | None = None

    def read(self, order: Order) -> Answer:
        """What comes of `order`."""
        place, program = self._ready(order)
        assert program.ask({"do": "read", "order": str(place)}) == 0, _SAYS_WHY
        return Answer.load(answer_beside(place))

    @contextmanager
    def open(self, order: Order) -> Iterator[PrivateProgram]:
        """A mount as `order` says, which answers what `open_mount` says within the block."""
        place, program = self._ready(order)
        assert program.ask({"do": "open", "order": str(place)}) == "open", _SAYS_WHY
        try:
            yield program
        finally:
            assert program.ask({"do": "end"}) == 0, _SAYS_WHY

    def _ready(self, order: Order) -> tuple[Path, PrivateProgram]:
        if self._program is None or not self._program.is_running:
            self._program = self._stack.enter_context(private_program("tests.client.attacks.machine"))
        place = order.place("order.json")
        order.save(place)
        return place, self._program


_SAYS_WHY = "the process that reads has failed; standard error says why"


@pytest.fixture(scope="session")
def machine() -> Iterator[Machine]:
    with ExitStack() as stack:
        yield Machine(stack)


@dataclass
class Victim:
    """A machine that reads in one `way`, and remembers what it has seen from one reading to the next."""

    directory: Path
    way: str
    machine: Machine
    now: datetime = NOW
    owner: Keys = field(default_factory=keys)

    def read(
        self,
        *servers: str,
        now: datetime | None = None,
        name: RepositoryName = NAME,
        forbidden: Sequence[Digest] = (),
    ) -> Answer:
        """Reads everything there is, as at the time `now`. Fails the test if that takes longer than is stated, or if
        this way is not possible here."""
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
            self.way,
            self.way in _PATIENT,
        )
        began = time.monotonic()
        answer = read_without_a_mount(order) if self.way == DAEMONLESS else self.machine.read(order)
        assert time.monotonic() - began < STATED_SECONDS
        assert answer.refusal != "MissingCapability", answer.sentence
        return answer


# A mount by layers is opened as one over FUSE is, and shows what an `erofs` run does. It is attacked while it is open.
@pytest.fixture(params=[DAEMONLESS, *(pytest.param(way, marks=pytest.mark.integration) for way in (MOUNT, *RUNS))])
def victim(request: pytest.FixtureRequest, tmp_path: Path, machine: Machine) -> Victim:
    way: str = request.param
    if reason_against(way):
        pytest.skip(reason_against(way))
    return Victim(tmp_path / "victim", way, machine)


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
