"""Where the rules of a check put what they find."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from outcrop.cvmfs.paths import RepositoryPath
from outcrop.errors import FormatError
from outcrop.stratum0.check.problems import Kind, Problem


class Findings:
    """Collects problems."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def add(
        self,
        kind: Kind,
        detail: str,
        *,
        path: RepositoryPath | None = None,
        catalog: RepositoryPath | None = None,
        name: str = "",
        size: int | None = None,
    ) -> None:
        """Notes one problem; the arguments are those of `Problem`."""
        self.problems.append(Problem(kind, detail, path, catalog, name, size))

    def extend(self, problems: tuple[Problem, ...] | list[Problem]) -> None:
        self.problems.extend(problems)

    @contextmanager
    def malformed(
        self,
        kind: Kind,
        *,
        path: RepositoryPath | None = None,
        catalog: RepositoryPath | None = None,
        name: str = "",
    ) -> Iterator[None]:
        """A FormatError within the block becomes a problem, and ends the block only."""
        try:
            yield
        except FormatError as error:
            self.add(kind, said(error), path=path, catalog=catalog, name=name)


def said(error: FormatError) -> str:
    """What `error` says is wrong, without the name of the thing, which the problem's place gives."""
    return f"{error.fields['field']} {error.fields['problem']}"
