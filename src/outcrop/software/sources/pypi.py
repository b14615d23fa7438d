"""Source distributions from the Python package index that this machine's pip uses, found by SHA-256.

The index's pages name each file's digest in its link (PEP 503), so the right file is picked without running any
project's build, which `pip download` would do.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from html.parser import HTMLParser
from urllib.parse import urldefrag, urljoin

from outcrop.software.sources.download import Fetcher

_SOURCE_ADDRESS = re.compile(r"/packages/source/[^/]+/(?P<project>[^/]+)/")
"""How easyconfigs write the address of a source distribution; the project's name is in it."""

PIP_TIMEOUT_SECONDS = 20


def project_of(urls: tuple[str, ...]) -> str | None:
    """The project on the package index that a file with these upstream addresses belongs to."""
    for url in urls:
        match = _SOURCE_ADDRESS.search(url)
        if match:
            return re.sub(r"[-_.]+", "-", match["project"]).lower()
    return None


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.found += [value for name, value in attrs if name == "href" and value]


def link_with_digest(page: str, page_url: str, sha256: tuple[str, ...]) -> str | None:
    """The address of the file that the index page says has one of these digests."""
    links = _Links()
    links.feed(page)
    for link in links.found:
        address, fragment = urldefrag(urljoin(page_url, link))
        if fragment.startswith("sha256=") and fragment.removeprefix("sha256=").lower() in sha256:
            return address
    return None


@dataclass(frozen=True, slots=True)
class PackageIndex:
    """The package indices that pip is set up for, first choice first. Addresses end without a slash."""

    indices: tuple[str, ...]
    fetcher: Fetcher

    def find(self, index: str, project: str, sha256: tuple[str, ...]) -> str | None:
        """The address at `index` of `project`'s file with one of these digests; NetworkError."""
        page_url = f"{index}/{project}/"
        return link_with_digest(self.fetcher.read(page_url).decode("utf-8", "replace"), page_url, sha256)


def configured_indices(environment: Mapping[str, str]) -> tuple[str, ...]:
    """The indices of pip's configuration: environment, files, then pip's own default.

    pip is asked and not its files, since it alone knows which apply. Without pip there are none.
    """
    listing = _pip("config", "list", environment=environment)
    settings = {}
    for line in listing.splitlines():
        name, _, value = line.partition("=")
        settings[name] = value.strip().strip("'\"")
    main = settings.get(":env:.index-url") or settings.get("global.index-url") or _default_index(environment)
    extra = settings.get(":env:.extra-index-url") or settings.get("global.extra-index-url") or ""
    # Directories on disk carry no digests and no pages that curl could list.
    found = [url.rstrip("/") for url in [main, *extra.split()] if url.startswith(("http://", "https://"))]
    return tuple(dict.fromkeys(found))


def _default_index(environment: Mapping[str, str]) -> str:
    # The help text is the one public place where pip names its default; it may break the line after the option.
    words = " ".join(_pip("download", "--help", environment=environment).split())
    match = re.search(r"--index-url <url>.*?\(default (?P<url>\S+)\)", words)
    return match["url"] if match else ""


def _pip(*arguments: str, environment: Mapping[str, str]) -> str:
    try:
        answer = subprocess.run(
            [sys.executable, "-m", "pip", *arguments],
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=PIP_TIMEOUT_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout if answer.returncode == 0 else ""
