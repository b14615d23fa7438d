"""The proxies of a site, in the words of `CVMFS_HTTP_PROXY`. Pure.

Groups stand between `;` and are used in order: the next one when all of one fail. The members of a group stand between
`|` and share the load. A member is a URL, `host:port` (then `http://` is meant) or `DIRECT`, which is no proxy. `auto`
asks the network for a script in JavaScript (WPAD), which we do not run: it is left out and told of.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from outcrop.client.network.settings import NetworkSettings
from outcrop.errors import InvalidValue

DIRECT = "DIRECT"
ENVIRONMENT = ""
"""The member that stands for the environment's proxies."""

_AUTO = "auto"
_SCHEMES = frozenset({"http", "https", "socks4", "socks4a", "socks5", "socks5h"})
_HINT = "write it as `http://proxy1:3128|http://proxy2:3128;DIRECT`"

ProxyGroups = tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class ProxyList:
    """Groups of proxies as `NetworkSettings` has them; `notes` are sentences about what was left out."""

    groups: ProxyGroups
    notes: tuple[str, ...] = ()


def parse_proxies(text: str, what: str = "CVMFS_HTTP_PROXY") -> ProxyList:
    """The proxies that `text`, the value of the setting `what`, spells. InvalidValue names the part that is wrong, or
    says that there is nothing in it."""
    groups: list[tuple[str, ...]] = []
    notes: list[str] = []
    for group in text.split(";"):
        members: list[str] = []
        for part in filter(None, (part.strip() for part in group.split("|"))):
            if part.lower() == _AUTO:
                notes.append(f"{what} asks for proxies that the network announces (`auto`); they are not used")
                continue
            member = _member(part, what)
            if member not in members:
                members.append(member)
        if members:
            groups.append(tuple(members))
    if not groups:
        problem = "names only `auto`, which is not supported" if notes else "names no proxy"
        raise InvalidValue(what=what, problem=problem, hint="write `DIRECT` where no proxy is to be used")
    return ProxyList(tuple(groups), tuple(notes))


def groups_in_use(settings: NetworkSettings) -> ProxyGroups:
    """All groups in the order in which they are used, never none.

    Where there are fallback proxies, `DIRECT` among the first ones is dropped, as the reference client does: fallback
    proxies are what is used instead."""
    primary = settings.proxies
    if settings.fallback_proxies:
        kept = (tuple(member for member in group if member != DIRECT) for group in primary)
        primary = tuple(group for group in kept if group)
    return (*primary, *settings.fallback_proxies) or ((ENVIRONMENT,),)


def proxy_host(proxy: str) -> str:
    """The name of the proxy's machine; empty for `DIRECT` and the environment's."""
    return "" if proxy in (DIRECT, ENVIRONMENT) else urlsplit(proxy).hostname or ""


def shown_proxy(proxy: str) -> str:
    """What people call `proxy`, without its password."""
    if proxy == DIRECT:
        return "no proxy"
    if proxy == ENVIRONMENT:
        return "the environment's proxy"
    parts = urlsplit(proxy)
    return f"the proxy {parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _member(part: str, what: str) -> str:
    if part.upper() == DIRECT:
        return DIRECT
    url = part if "://" in part else f"http://{part}"
    problem = _problem(url)
    if problem:
        # A password must not end up in a log.
        shown = part.rpartition("@")[2]
        raise InvalidValue(what=f"the proxy {shown!r} in {what}", problem=problem, hint=_HINT)
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _problem(url: str) -> str:
    """What is wrong with a proxy's URL, if anything."""
    if any(character.isspace() or not character.isprintable() for character in url):
        return "has a blank or an unprintable character in it"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "has no valid host and port"
    if parts.scheme not in _SCHEMES:
        return f"has the scheme {parts.scheme!r}, which is none of a proxy"
    if not parts.hostname:
        return "names no host"
    if port == 0:
        return "has no valid port"
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        return "has something behind host and port"
    return ""
