"""How many tests may be skipped where: a suite that quietly stops testing must not stay green."""

from __future__ import annotations

import os
import platform
import sys
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass

EXPECTED = "tests/expected-skips.toml"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the skips are as announced, and the line that says so."""

    fails: bool
    line: str


def kind_of_machine() -> str:
    """What decides which tests can run at all: system, processor, and whether root runs them."""
    return f"{sys.platform}-{platform.machine()}-{'root' if os.geteuid() == 0 else 'user'}"


def read_expected(text: str) -> Mapping[str, int]:
    """The allowed number of skips for each kind of machine, from the text of `expected-skips.toml`."""
    return {kind: int(count) for kind, count in tomllib.loads(text)["skips"].items()}


def verdict(skipped: int, kind: str, expected: Mapping[str, int], *, binding: bool) -> Verdict:
    """Judge `skipped` tests on `kind` of machine; where it is not `binding`, too many are only a warning."""
    allowed = expected.get(kind, 0)
    if skipped <= allowed:
        return Verdict(fails=False, line=f"{skipped} skipped of {allowed} announced for {kind}")
    return Verdict(
        fails=binding,
        line=f"{skipped} tests were skipped, but {EXPECTED} announces {allowed} for {kind}: "
        f"make them run, or raise the number in the same commit and say why",
    )


def is_whole_suite(arguments: Collection[str], keyword: str, marks: str) -> bool:
    """Whether a run with these pytest arguments covers everything, so that its skips can be compared."""
    return not keyword and not marks and all(argument.rstrip("/") == "tests" for argument in arguments)
