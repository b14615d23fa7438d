"""Opening the cached file of a catalog: read only, immutable, mapped into memory."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from urllib.parse import quote

from outcrop.cvmfs.catalog import Catalog
from outcrop.cvmfs.database import admit, require_sound_pages, sqlite_border

MAPPED_BYTES = 1024 * 1024 * 1024
"""More than any catalog has (500,000 entries make 100 MB); the kernel maps only what is there."""

_PAGE_CACHE_KIB = 256
"""SQLite's own copy of pages is for what is not mapped; a mount may have many catalogs open."""


def open_catalog(path: Path, what: str, *, known_sound: bool = False) -> Catalog:
    """The catalog in the file `path`, which is complete and never changes; `what` names it in errors.

    The connection may be used from any thread. FormatError for a file that is no catalog, or that is made to keep a
    reader busy for ever; `known_sound` leaves out the part of that check which reads the whole file.
    """
    location = f"file:{quote(os.fsencode(path))}?mode=ro&immutable=1"
    with sqlite_border(what):
        connection = sqlite3.connect(location, uri=True, isolation_level=None, check_same_thread=False)
    try:
        with sqlite_border(what):
            connection.execute(f"PRAGMA mmap_size = {MAPPED_BYTES}")
            connection.execute(f"PRAGMA cache_size = -{_PAGE_CACHE_KIB}")
        if not known_sound:
            admit(connection, what)
            require_sound_pages(connection, what)
        return Catalog(connection, what)
    except BaseException:
        connection.close()
        raise


def file_of(catalog: Catalog) -> str:
    """The file that `catalog` was opened from; empty for one in memory."""
    ((file,),) = catalog.connection.execute("SELECT file FROM pragma_database_list WHERE name = 'main'")
    return os.fsdecode(file or b"")
