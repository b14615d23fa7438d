"""The changelog of a repository as a Markdown page that can be published as it is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from outcrop.cli.change_view import change_note, counts_text, size_text
from outcrop.cli.moments import moment_text
from outcrop.cli.terminal import one_line
from outcrop.cvmfs.catalog_diff import Effect
from outcrop.cvmfs.names import RepositoryName
from outcrop.cvmfs.paths import RepositoryPath
from outcrop.cvmfs.revision_account import ChangeLine
from outcrop.stratum0.history.changelog import LoggedRevision

_AUTOMATIC = "generic-"
"""How the names of tags begin that no person chose: they are no headings."""

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~&])")
_VERBS = {Effect.ADDED: "added", Effect.CHANGED: "changed", Effect.REMOVED: "removed"}


def markdown_changelog(repository: RepositoryName, logged: Iterable[LoggedRevision]) -> Iterator[str]:
    """The page, a paragraph at a time: a heading for each revision, with author, date, message and changes."""
    yield f"# Changes of {_escaped(repository)}\n"
    for one in logged:
        yield "\n".join(_section(one))


def _section(one: LoggedRevision) -> Iterator[str]:
    record, account = one.record, one.account
    names = [_escaped(tag) for tag in record.tags if not tag.startswith(_AUTOMATIC)]
    revision = f"revision {record.revision}"
    yield f"## {', '.join(names)} ({revision})" if names else f"## {revision.capitalize()}"
    yield ""
    by = f", by {_escaped(one_line(record.author))}" if record.author else ""
    yield f"{moment_text(record.published_at)} UTC{by}"
    yield ""
    if record.message.strip():
        yield _escaped(record.message.strip())
        yield ""
    if record.reason.strip():
        yield f"Reason: {_escaped(record.reason.strip())}"
        yield ""
    if account is not None:
        yield f"{counts_text(account.added, account.changed, account.removed)}; {size_text(account.bytes)}."
        yield ""
    for line in one.changes:
        yield _item(line)
    if one.changes:
        yield ""


def _item(line: ChangeLine) -> str:
    note = change_note(line)
    return f"- {_VERBS[line.effect]} {_code(line.path)}" + (f" ({note})" if note else "")


def _escaped(text: str) -> str:
    """`text` without anything that Markdown or HTML would take for its own, apart from lists and paragraphs."""
    return _SPECIAL.sub(r"\\\1", text)


def _code(path: RepositoryPath) -> str:
    """`path` as a code span, whose fence is longer than any row of backticks in it (CommonMark, section 6.1)."""
    text = one_line(path.decode("utf-8", "backslashreplace") or "/")
    longest = max((len(row) for row in re.findall("`+", text)), default=0)
    fence, space = "`" * (longest + 1), " " if longest else ""
    return f"{fence}{space}{text}{space}{fence}"
