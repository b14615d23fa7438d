"""`outcrop mount status`"""

from __future__ import annotations

import shlex
from typing import Any

import click
import msgspec

from outcrop.cli.console import Console
from outcrop.cli.moments import moment_document, moment_text
from outcrop.cli.options import examples, json_option
from outcrop.cli.quantities import counted
from outcrop.client.mount.mountinfo import MountLine, mounts, our_mounts
from outcrop.client.mount.report import Report
from outcrop.client.mount.unmounting import report, wanted_mounts
from outcrop.client.network.proxies import DIRECT


@click.command(
    "status",
    epilog=examples(
        "outcrop mount status                          # everything that outcrop has mounted",
        "outcrop mount status /cvmfs/software.example.org",
        "outcrop mount status software.example.org --json",
    ),
)
@click.argument("target", metavar="[MOUNTPOINT|REPO]", required=False)
@json_option
@click.pass_obj
def command(console: Console, *, target: str | None, as_json: bool) -> None:
    """Show what is mounted at MOUNTPOINT, or everywhere: revision, last look for a new one, server, cache, errors."""
    lines = mounts()
    found = [(line, report(line)) for line in (wanted_mounts(target, lines) if target else our_mounts(lines))]
    if as_json:
        console.json([_document(line, one) for line, one in found])
        return
    if not found:
        console.note("nothing is mounted; `outcrop mount REPO` mounts a repository")
    for position, (line, one) in enumerate(found):
        if position:
            console.result("")
        console.result(f"{line.repository} at {line.mountpoint}")
        if one is None:
            console.warning(f"nobody serves it; `outcrop umount {shlex.quote(str(line.mountpoint))}` takes it away")
            continue
        for label, text in _rows(one):
            console.result(f"  {label:<10} {text}")


def _rows(report: Report) -> list[tuple[str, str]]:
    tag = f", tag {report.tag}" if report.tag else ""
    rows = [
        ("revision", f"{report.revision}{tag}, shown since {moment_text(int(report.shown_since))} UTC"),
        ("root", report.root_hash),
        ("follows", _following(report)),
    ]
    if report.check is not None:
        problem = f": {report.check.problem}" if report.check.problem else ""
        rows.append(("last look", f"{moment_text(int(report.check.at))} UTC, {report.check.outcome}{problem}"))
    rows += [("server" if not position else "", server) for position, server in enumerate(report.servers)]
    if report.proxy != DIRECT:
        rows.append(("proxy", report.proxy))
    rows += [
        ("cache", report.cache or "-"),
        ("process", f"{report.pid}, since {moment_text(int(report.mounted_at))} UTC, outcrop {report.version}"),
        ("log", report.log or "none"),
        ("requests", f"{report.requests:,}, {counted(report.errors, 'error')}"),
    ]
    if report.errors:
        rows.append(("last error", f"{moment_text(int(report.last_error_at))} UTC, {report.last_error}"))
    return rows + [("notice" if not position else "", text) for position, text in enumerate(report.notices)]


def _following(report: Report) -> str:
    return f"new revisions, within {report.ttl} s" if report.follows else "nothing: this revision was asked for by name"


def _document(line: MountLine, report: Report | None) -> dict[str, object]:
    place: dict[str, object] = {
        "mountpoint": line.mountpoint,
        "repository": line.repository,
        "alive": report is not None,
    }
    if report is None:
        return place
    document: dict[str, Any] = msgspec.to_builtins(report)
    for name in ("mounted_at", "shown_since", "last_error_at"):
        document[name] = moment_document(int(document[name])) if document[name] else None
    if document["check"]:
        document["check"]["at"] = moment_document(int(document["check"]["at"]))
    return place | document
