"""The proxies of a site, in the words of `CVMFS_HTTP_PROXY`. Pure.

Groups stand between `;` and are used in order: the next one when all of one fail. The members of a group stand between
`|` and share the load. A member is a URL, `host:port` (then `http://` is meant) or `DIRECT`, which is no proxy. `auto`
asks the network for a script in JavaScript (WPAD, or what `CVMFS_PAC_URLS` names), which we do not run: it is left out
and told of, with what to write instead.
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
_INSTEAD = (
    "name the proxies themselves, in `proxies` below `[network]` in config.toml or in CVMFS_HTTP_PROXY in "
    "/etc/cvmfs/default.local, as in `http://proxy1:3128|http://proxy2:3128;DIRECT`"
)
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
                notes.append(f"{what} asks for a script of the network (`auto`), which is not run; {_INSTEAD}")
                continue
            member = _member(part, what)
            if member not in members:
                members.append(member)
        if members:
            groups.append(tuple(members))
    if not groups:
        problem = "names only `auto`, a script of the network, which is not run" if notes else "names no proxy"
        hint = _INSTEAD if notes else "write `DIRECT` where no proxy is to be used"
        raise InvalidValue(what=what, problem=problem, hint=hint)
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


def plain_proxy(proxy: str, server: str) -> str:
    """`proxy`, by which the URL `server` is reached, as the reference client names it, without its password: a URL, or
    `DIRECT`. For the environment's it is looked up."""
    if proxy == ENVIRONMENT:
        proxy = _of_environment(server)
    if proxy == DIRECT:
        return DIRECT
    parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _of_environment(server: str) -> str:
    parts = urlsplit(server)
    if not parts.hostname:
        return DIRECT  # a directory on this machine
    # It brings a whole web client with it, which only those pay for who ask.
    from urllib.request import getproxies, proxy_bypass

    if proxy_bypass(parts.hostname):
        return DIRECT
    proxies = getproxies()
    return proxies.get(parts.scheme) or proxies.get("all") or DIRECT


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
