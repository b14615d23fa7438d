"""Where no layer can be had, the demonstration says why and does without."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from outcrop.demo.layer import demo_layer
from outcrop.demo.reading import Stage
from outcrop.demo.telling import Story
from outcrop.demo.workshop import Workshop
from outcrop.progress import SILENT, Progress
from outcrop.software.demo_stack import DEMO_REPOSITORY
from tests.compat.layers import NEEDS_A_RELEASE

pytestmark = [*NEEDS_A_RELEASE]


class Listener:
    """A teller that keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def begin(self, title: str) -> None:
        """Nothing is kept of titles."""

    def say(self, text: str) -> None:
        self.said.append(text)

    def end(self, seconds: float) -> None:
        """Nor of times."""

    def progress(self) -> Progress:
        return SILENT


def test_mirrors_that_do_not_answer_are_a_reason_to_do_without_a_layer(tmp_path: Path) -> None:
    listener = Listener()
    stage = Stage(PurePosixPath("/cvmfs"), DEMO_REPOSITORY, "bwrap")
    assert demo_layer(Workshop(tmp_path), stage, ["http://127.0.0.1:9"], Story(listener)) is None
    (said,) = listener.said
    assert said.endswith("the compiler and the Lmod of this machine are used instead of a layer's")
    assert "127.0.0.1:9" in said
