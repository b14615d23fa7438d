"""A layer as a client delivers it: checked out or mounted, links for sites are filled in.

Of such a link a client shows one thing only: the path that a variable has, or the one behind `:-`. Both are absolute.
So the layer that is delivered is the one that was stored if each link that its record declares is what was stored, or
an absolute path; no other link, and no file, may differ.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from outcrop.compat.record import LINK, recorded_redirections
from outcrop.compat.redirection import VARIANT, VariantLink

Declared = Mapping[str, VariantLink]
"""The links of a layer that a site can redirect, by their paths as a walk comes by them."""


def declared_links(tree: Path) -> dict[str, VariantLink] | None:
    """The links of the layer `tree` that a site can redirect, as its record says; None where it does not say. `tree`
    may be delivered or not. FormatError, StorageError."""
    recorded = recorded_redirections(tree)
    if recorded is None:
        return None
    root = os.path.realpath(tree)
    return {_settled(root, link.path): link for link in recorded.layer}


def _settled(root: str, path: str) -> str:
    """`path`, relative to the layer `root`, as a walk comes by it."""
    directory, name = os.path.split(path)
    return os.path.relpath(os.path.join(os.path.realpath(os.path.join(root, directory)), name), root)


def may_be_shown(link: VariantLink, target: str) -> bool:
    """Whether the declared `link`, stored or delivered to some site, may lead to `target`."""
    return target == link.target or (target.startswith("/") and VARIANT not in target)


def as_stored(contents: Mapping[str, str], declared: Declared) -> dict[str, str]:
    """The `contents` of a layer, as `digests` gives them, with links as they were stored where a client may have filled
    them in."""
    found = dict(contents)
    for path, link in declared.items():
        content = found.get(path, "")
        if content.startswith(LINK) and may_be_shown(link, content.removeprefix(LINK)):
            found[path] = f"{LINK}{link.target}"
    return found
