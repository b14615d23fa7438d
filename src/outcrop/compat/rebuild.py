"""What a layer that is built again is compared with: a layer that is there, or the record of one."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from outcrop.compat.delivered import as_stored, declared_links
from outcrop.compat.layout import LayerLayout
from outcrop.compat.record import (
    LAYER_FILE,
    LINK,
    Difference,
    differences,
    digests,
    files_in,
    layer_digest,
    layout_in,
    recorded_layer,
    recorded_layout,
    require_record,
)
from outcrop.errors import NotFound, storage_error

_EXECUTABLE = " (executable)"
_WHOLE = "links, what may be executed, or the lock"


@dataclass(frozen=True, slots=True)
class Original:
    """What is built again. `contents` are the digests of its files by path, with links and executable bits where the
    layer itself is there (`whole`); `digest` is that of all of it, made in `digest_format`, empty where nobody knows
    it."""

    layout: LayerLayout
    contents: Mapping[str, str]
    digest: str
    digest_format: int
    whole: bool


def original_layer(tree: Path) -> Original:
    """The layer `tree`, also as a client delivers it. NotFound without a record, FormatError, StorageError."""
    contents = as_stored(marked_digests(tree), declared_links(tree) or {})
    layer = recorded_layer(require_record(tree))
    return Original(recorded_layout(tree), contents, layer.digest, layer.digest_format, True)


def original_of_record(lock: Path) -> Original:
    """The layer of whose record the file `lock` is. NotFound where it is not in a record, FormatError, StorageError."""
    record = lock.absolute().parent
    if not (record / LAYER_FILE).is_file():
        raise NotFound(
            what=f"the record beside {lock}",
            hint="name the layer's directory, too: a lock alone does not say its prefix",
        )
    layer = recorded_layer(record)
    return Original(layout_in(record), files_in(record), layer.digest, layer.digest_format, False)


def marked_digests(tree: Path) -> dict[str, str]:
    """The digests of `tree` by path, those of files that may be executed marked. StorageError."""
    found = digests(tree)
    try:
        for path, content in found.items():
            if not content.startswith(LINK) and (tree / path).stat().st_mode & stat.S_IXUSR:
                found[path] = content + _EXECUTABLE
    except OSError as error:
        raise storage_error(error) from error
    return found


def compared(original: Original, tree: Path) -> tuple[Difference, ...]:
    """What is not the same in the new layer `tree`. StorageError."""
    if original.whole:
        return differences(original.contents, marked_digests(tree))
    contents = digests(tree)
    files = {path: content for path, content in contents.items() if not content.startswith(LINK)}
    found = differences(original.contents, files)
    digest = layer_digest(tree, contents, digest_format=original.digest_format)
    if not found and original.digest and digest != original.digest:
        return (Difference(_WHOLE, original.digest, digest),)
    return found
