"""A small real job that a layer's programs do: a script for the layer's own shell, and what it must answer."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Job:
    """`script` runs in an empty directory; its standard output must be `answer`. It is left out where the layer has not
    all in `needs`: programs, and paths or globs of them (those with a slash). `user`: it looks accounts up, so it needs
    some."""

    name: str
    needs: tuple[str, ...]
    script: str
    answer: str
    user: bool = False

    def missing(self, tree: Path, programs: Collection[str]) -> str:
        """What it needs and the layer `tree`, with these `programs`, does not have; empty where nothing is missing."""
        for need in self.needs:
            if not (any(tree.glob(need)) if "/" in need else need in programs):
                return need
        return ""


def python(*lines: str) -> str:
    """A script that runs `lines` in the layer's Python."""
    return "python3 - <<'END'\n" + "\n".join(lines) + "\nEND\n"


def file(name: str, *lines: str) -> str:
    """A script that writes the file `name` with these `lines`."""
    return f"cat > {name} <<'END'\n" + "\n".join(lines) + "\nEND\n"
