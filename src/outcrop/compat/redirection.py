"""Which paths of a layer a site can redirect, by which variables of its clients, and where they lead by default.

Links of the layer hold for one version of a stack; each leads to a link of the repository, which holds for all of them:

    lib/override                $(EESSI_202606_LIB_OVERRIDE:-/cvmfs/R/defaults/override)
    etc/passwd                  $(EESSI_202606_COMPAT_ETC_PASSWD:-/cvmfs/R/defaults/compat/etc/passwd)

    defaults/override           $(EESSI_LIB_OVERRIDE_DEFAULT:-/cvmfs/R/host_injections/lib/override)
    defaults/compat/etc/passwd  $(EESSI_COMPAT_ETC_PASSWD:-/etc/passwd)
    host_injections             $(EESSI_HOST_INJECTIONS:-/opt/eessi)

Names as in EESSI's repositories: `symlinks_to_host` of its compatibility layer (`vars/2026.06.yml`), `symlinks` of its
file system layer (`create_cvmfs_content_structure/vars/software.eessi.io.yml`). There the last step of a library
directory is `/dev/null`; here it is a place in `host_injections`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from outcrop.compat.layout import LayerLayout
from outcrop.compat.package_sets import HostLink, LayerDescription
from outcrop.cvmfs.variant import expand
from outcrop.errors import FormatError, InvalidValue

DEFAULTS = "defaults"
"""The repository's directory of links that hold for all versions."""

HOST_INJECTIONS = "host_injections"
"""The repository's link to what a site provides."""

MAXIMUM_LINK_BYTES = 1023
"""The longest target of a link that every usual file system takes: XFS's limit (XFS_SYMLINK_MAXLEN); others, and
Linux itself, take 4095."""

VARIANT = "$("
"""How the target of a link begins that a client fills in."""

_OVERRIDE = "override"
_COMPAT = "compat"


@dataclass(frozen=True, slots=True)
class VariantLink:
    """A link at `path` of a layer or a repository, that leads to `default` unless a client sets `variable`."""

    path: str
    variable: str
    default: str

    @property
    def target(self) -> str:
        """What is stored of it, for a client to fill in."""
        return f"$({self.variable}:-{self.default})"


@dataclass(frozen=True, slots=True)
class Redirections:
    """The links of a `layer`, and those of its repository (`shared`) to which they lead."""

    layer: tuple[VariantLink, ...]
    shared: tuple[VariantLink, ...]

    def targets(self) -> dict[str, str]:
        """What is stored at the shared paths."""
        return {link.path: link.target for link in self.shared}


def redirections(layout: LayerLayout, description: LayerDescription) -> Redirections:
    """The links of the layer at `layout`. InvalidValue for a path or prefix that no link can hold, and for two paths of
    one variable."""
    pairs = [_host_file(layout, host) for host in description.host_links]
    pairs += [_libraries(layout, directory) for directory in description.trusted_directories]
    found = Redirections(tuple(one for one, _ in pairs), (*(one for _, one in pairs), host_injections(layout)))
    _require_distinct(found)
    for link in (*found.layer, *found.shared):
        _require_possible(link)
    return found


def host_injections(layout: LayerLayout) -> VariantLink:
    """Where a site puts what is its own, EESSI's `/opt/eessi` by default."""
    name = layout.variable_prefix.rstrip("_").lower()
    return VariantLink(HOST_INJECTIONS, layout.shared_variable("HOST_INJECTIONS"), f"/opt/{name}")


def require_shared_paths(links: Iterable[VariantLink], what: str) -> None:
    """Returns if `links` of a record lie where links for sites do; FormatError, naming `what`."""
    for link in links:
        parts = PurePosixPath(link.path).parts
        if link.path != HOST_INJECTIONS and (parts[:1] != (DEFAULTS,) or len(parts) < 2 or {"..", "."} & {*parts}):
            raise FormatError(what=what, field=link.path, problem="is no place for a link that a site redirects")


def _host_file(layout: LayerLayout, host: HostLink) -> tuple[VariantLink, VariantLink]:
    name = f"COMPAT_{host.variable_name}"
    shared = VariantLink(f"{DEFAULTS}/{_COMPAT}/{host.path}", layout.shared_variable(name), host.host)
    return _link_to(layout, host.path, layout.variable(name), shared), shared


def _libraries(layout: LayerLayout, directory: str) -> tuple[VariantLink, VariantLink]:
    last = PurePosixPath(directory).name
    if last == _COMPAT:
        problem = f"would lead to {DEFAULTS}/{_COMPAT}, where links to the host's files are"
        raise InvalidValue(what=f"the directory {directory} of the layer", problem=problem, hint="give it another name")
    name = "LIB_OVERRIDE" if last == _OVERRIDE else f"{re.sub(r'[^A-Z0-9]+', '_', last.upper())}_OVERRIDE"
    place = f"{layout.mount_point}/{HOST_INJECTIONS}/lib/{last}"
    shared = VariantLink(f"{DEFAULTS}/{last}", layout.shared_variable(f"{name}_DEFAULT"), place)
    return _link_to(layout, directory, layout.variable(name), shared), shared


def _link_to(layout: LayerLayout, path: str, variable: str, shared: VariantLink) -> VariantLink:
    return VariantLink(path, variable, f"{layout.mount_point}/{shared.path}")


def _require_distinct(found: Redirections) -> None:
    seen: dict[str, VariantLink] = {}
    for link in found.shared:
        for key in (link.path, link.variable):
            other = seen.setdefault(key, link)
            if other is not link:
                raise InvalidValue(
                    what=f"{link.path} of the layer",
                    problem=f"is redirected by {link.variable}, as {other.path} is",
                    hint="give one of the two another `variable`, or another name, in `layer.toml`",
                )


def _require_possible(link: VariantLink) -> None:
    if expand(os.fsencode(link.target), {}) != os.fsencode(link.default):
        raise InvalidValue(
            what=f"{link.default}, where {link.path} of the layer leads,",
            problem="cannot be the default of a link: no client would read it so",
            hint="choose a path without brackets and `$`",
        )
    if len(os.fsencode(link.target)) > MAXIMUM_LINK_BYTES:
        raise InvalidValue(
            what=f"the link {link.path} of the layer",
            problem=f"would have {len(os.fsencode(link.target)):,} bytes; file systems take {MAXIMUM_LINK_BYTES:,}",
            hint="choose a shorter name for the repository, or a shorter path",
        )
