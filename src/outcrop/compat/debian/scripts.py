"""What the scripts of packages would do to a machine when they are installed, read from their text: no script is run.

Three things are done from what can be read: links that `update-alternatives` is asked for (`alternatives`), files that
`dpkg-divert --rename` moves out of a package's way, and what finishing a layer does for all packages. Of everything
else it is said that it is not done. Read are literal commands in scripts of the shell, and the triggers that a package
sets off; what a variable names, what functions of other files do, and what a redirection writes is not seen.
Sources: Debian Policy, chapter 6; dpkg-divert(1), deb-triggers(5).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from outcrop.compat.debian.alternatives import alternatives_of

PREINST, POSTINST, TRIGGERS = "preinst", "postinst", "triggers"

_FILES = ("cp", "install", "ln", "mkdir", "mkfifo", "mknod", "mv", "sed", "tee", "touch", "ucf", "ucfr")
_RIGHTS = ("chgrp", "chmod", "chown", "dpkg-statoverride", "setcap", "setfacl")
_ACCOUNTS = ("addgroup", "adduser", "groupadd", "groupmod", "systemd-sysusers", "useradd", "usermod")
_SERVICES = (
    "deb-systemd-helper",
    "deb-systemd-invoke",
    "invoke-rc.d",
    "service",
    "sysctl",
    "systemctl",
    "systemd-tmpfiles",
    "telinit",
    "udevadm",
)
_INDICES = (
    r"[a-z0-9-]+compile",
    r"update-[a-z0-9.-]+",
    "add-shell",
    "dbus-uuidgen",
    "depmod",
    "dpkg-divert",
    "dpkg-trigger",
    "fc-cache",
    "git",
    "glib-compile-schemas",
    "iconvconfig",
    "install-docs",
    "install-info",
    "ldconfig",
    "locale-gen",
    "mandb",
    "mktexlsr",
)
_NAMES = "|".join((*map(re.escape, (*_FILES, *_RIGHTS, *_ACCOUNTS, *_SERVICES)), *_INDICES))
_CALL = re.compile(
    r"(?:^|[;&|({`]|\b(?:then|do|else|elif|if|while|until|exec|!)\s)\s*(?:[A-Za-z_]\w*=\S*\s+)*"
    rf"(?:/\S*/)?(?P<name>{_NAMES})(?=\s|$|;)(?!\s*[)|])(?P<words>[^\n;&|)]*)"
)
_HERE_DOCUMENT = re.compile(r"<<-?\s*[\"']?(?P<end>\w+)[\"']?")
_SHELL = re.compile(r"#!\s*/(?:usr/)?bin/(?:env\s+)?(?:ba|da)?sh\b")
_DIVERT = "dpkg-divert"
_LITERAL = re.compile(r"(?:/(?!\.\.?(?:/|\Z))[A-Za-z0-9_.+-]+)+")
_QUESTIONS = ("--truename", "--listpackage", "--list", "--help", "--version", "--remove")
_WITH_VALUE = ("--package", "--divert", "--admindir", "--instdir", "--root")
_IN_PLACE = re.compile(r"\s-[a-zA-Z]*i|\s--in-place")
_LONGEST = 120


@dataclass(frozen=True, slots=True)
class Diversion:
    """Whatever package other than the one that asks has the file `path` gets it as `to`; both begin with a slash."""

    path: str
    to: str


@dataclass(frozen=True, slots=True)
class Effect:
    """Something that a script would do by `command`, as it stands in `text`."""

    command: str
    text: str


def diversions_of(scripts: Mapping[str, str]) -> tuple[Diversion, ...]:
    """The files that `scripts`, by their names in the package, move out of the way, in words that can be read."""
    calls = (call for name in (PREINST, POSTINST) for call in _calls(scripts.get(name, "")))
    return tuple(found for program, words in calls if program == _DIVERT and (found := _diversion(words)))


def effects_of(scripts: Mapping[str, str]) -> tuple[Effect, ...]:
    """What `scripts` would do besides, each once, in their order."""
    found = [*_triggered(scripts.get(TRIGGERS, ""))]
    for script in (PREINST, POSTINST):
        text = scripts.get(script, "")
        if text and not _SHELL.match(text):
            found.append(Effect(script, text.partition("\n")[0][:_LONGEST]))
            continue
        for name, words in _calls(text):
            if not _is_done(name, words):
                found.append(Effect(name, f"{name} {' '.join(words.split())}".strip()[:_LONGEST]))
    return tuple(dict.fromkeys(found))


def _triggered(text: str) -> Iterator[Effect]:
    for line in text.splitlines():
        words = line.partition("#")[0].split()
        if len(words) > 1 and words[0].startswith("activate"):
            yield Effect(f"trigger {words[1]}", " ".join(words))


def _calls(script: str) -> Iterator[tuple[str, str]]:
    """Each literal call in `script`: the program's name, and the words behind it."""
    for line in _lines(script):
        for match in _CALL.finditer(line):
            yield match["name"], match["words"]


def _lines(script: str) -> Iterator[str]:
    """The lines of `script` that are commands, with what is continued in one."""
    end = ""
    for line in script.replace("\\\n", " ").splitlines():
        if end:
            end = "" if line.strip() == end else end
            continue
        if not line.lstrip().startswith("#"):
            yield line.strip()
            if match := _HERE_DOCUMENT.search(line):
                end = match["end"]


def _is_done(name: str, words: str) -> bool:
    """Whether the call is one that is done, or changes nothing."""
    if name == "update-alternatives":
        return "--install" not in words or any(alternatives_of(f"{name} {words}"))
    if name == _DIVERT:
        return any(word in words.split() for word in _QUESTIONS) or _diversion(words) is not None
    if name == "sed":
        return _IN_PLACE.search(words) is None
    return False


def _diversion(words: str) -> Diversion | None:
    try:
        given = shlex.split(words)
    except ValueError:
        return None
    if "--rename" not in given or any(one in given for one in _QUESTIONS):
        return None
    values = {given[place]: given[place + 1] for place in range(len(given) - 1) if given[place] in _WITH_VALUE}
    skipped = {place + 1 for place, word in enumerate(given) if word in _WITH_VALUE}
    paths = [word for place, word in enumerate(given) if place not in skipped and not word.startswith("-")]
    if len(paths) != 1:
        return None
    to = values.get("--divert", f"{paths[0]}.distrib")
    return Diversion(paths[0], to) if _LITERAL.fullmatch(paths[0]) and _LITERAL.fullmatch(to) else None
