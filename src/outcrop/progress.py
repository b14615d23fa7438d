"""How long work tells how far it is, without knowing who listens."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Listens to one piece of long work. `unit` is what is counted: `bytes`, `files`, `objects`, `steps`."""

    def start(self, task: str, total: int | None = None, unit: str = "files") -> None:
        """A new stage begins; `total` is unknown where it is None."""

    def advance(self, amount: int = 1, detail: str = "") -> None:
        """`amount` more units are done; `detail` names the last one."""

    def finish(self) -> None:
        """The stage is complete."""


class Silent:
    """A listener that says nothing."""

    def start(self, task: str, total: int | None = None, unit: str = "files") -> None: ...

    def advance(self, amount: int = 1, detail: str = "") -> None: ...

    def finish(self) -> None: ...


SILENT: Progress = Silent()
