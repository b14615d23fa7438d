"""Every declared locale is there, and the layer's C library takes it."""

from __future__ import annotations

from collections.abc import Iterable

from outcrop.compat.locales import same_charset
from outcrop.compat.sealed_root import SealedRoot
from outcrop.compat.verify.report import Checked, Finding, checked

BUILT_IN = "C.UTF-8"
"""glibc brings it, so it is there in every layer."""

_PROGRAM = "usr/bin/locale"


def declared_locales(root: SealedRoot, names: Iterable[str]) -> Checked:
    """Each of `names`, and the one that is always there, is used by a program that says which character set it has."""
    if not (root.tree / _PROGRAM).exists():
        return checked(0, (), [Finding("locales", f"the layer has no {_PROGRAM}, which uses them")])
    wanted = [BUILT_IN, *names]
    program = f"{root.layout.prefix}/{_PROGRAM}"
    findings = []
    for name in wanted:
        ended = root.run([program, "charmap"], root.environment() | {"LC_ALL": name})
        charset = name.partition(".")[2].partition("@")[0]
        if ended.returncode != 0 or ended.stderr.strip() or not same_charset(ended.stdout, charset):
            said = (ended.stderr.strip() or ended.stdout.strip()).splitlines() or ["nothing is said"]
            findings.append(Finding(name, f"is declared, and cannot be used: {said[-1]}"))
    return checked(len(wanted), findings)
