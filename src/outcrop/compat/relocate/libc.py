"""What in glibc's main library needs more than other references to longer strings: lengths and copies inside its code.

- The path of locales has its size, with the zero at its end, as a number in `_nl_find_locale`, twice.
- The default directory of character set conversions is copied by instructions that know its length. It is not needed:
  the index `gconv-modules.cache`, whose path can be changed, says where each conversion is. So the default becomes a
  path that can never be.

Each is found exactly as often as the source says, or the library is refused. Tried with glibc 2.36 and 2.41.

Sources: glibc, `locale/findlocale.c`, `iconv/gconv_conf.c`.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence

from outcrop.compat.relocate.elf_image import ElfImage, refuse, whole_strings
from outcrop.compat.relocate.string_references import X86_64

LOCALES = b"/usr/lib/locale"
_SIZES_OF_LOCALES = 2
_NOWHERE = b"/dev/null/"
_NUMBER = struct.Struct("<i")


def mend_libc(image: ElfImage, prefix: bytes, triplet: str, lengths: Sequence[bytes]) -> None:
    """Mends what re-pointing has left, in a library whose strings but `conversions` were re-pointed to `prefix`, and of
    which `lengths` were mended. FormatError where the library is not as the source says."""
    if image.machine == X86_64:
        _mend_locale_length(image, prefix)  # it is stored in memory, not put into a register
    elif lengths.count(LOCALES) != _SIZES_OF_LOCALES:
        refuse("the C library's path of locales", f"has its size in {lengths.count(LOCALES)} places, not in two")
    _send_nowhere(image, conversions(triplet))


def conversions(triplet: str) -> bytes:
    """The default directory of character set conversions: to be kept when paths are re-pointed."""
    return b"/usr/lib/" + triplet.encode() + b"/gconv"


def _mend_locale_length(image: ElfImage, prefix: bytes) -> None:
    size = len(LOCALES) + 1
    # movq $16, offset(%rbp), beside a reference to the new string.
    pattern = re.compile(rb"\x48\xc7\x45[\x80-\xff]" + re.escape(_NUMBER.pack(size)), re.DOTALL)
    places = [
        match.end() - _NUMBER.size for match in pattern.finditer(image.data) if _is_near(image, match.start(), prefix)
    ]
    if len(places) != _SIZES_OF_LOCALES:
        refuse("the C library's path of locales", f"has its size in {len(places)} places, not in two")
    for place in places:
        _NUMBER.pack_into(image.data, place, size + len(prefix))


_LEA = re.compile(rb"[\x48\x4c]\x8d[\x05\x0d\x15\x1d\x25\x2d\x35\x3d]", re.DOTALL)
_NEAR = 64


def _is_near(image: ElfImage, place: int, prefix: bytes) -> bool:
    """Whether an instruction near `place` refers to the new path of locales."""
    target = image.place_string(prefix + LOCALES)
    code = next(segment for segment in image.loaded if segment.offset <= place < segment.offset + segment.size)
    for match in _LEA.finditer(image.data, max(0, place - _NEAR), place + _NEAR):
        (distance,) = _NUMBER.unpack_from(image.data, match.end())
        if match.end() + _NUMBER.size - code.offset + code.address + distance == target:
            return True
    return False


def _send_nowhere(image: ElfImage, path: bytes) -> None:
    """Overwrites the string `path`, which is copied and not referred to, by one of the same length that cannot be."""
    places = list(whole_strings(path, image.data))
    if len(places) != 1:
        refuse("the C library's directory of conversions", f"was found {len(places)} times, not once")
    image.data[places[0] : places[0] + len(path)] = _NOWHERE + b"." * (len(path) - len(_NOWHERE))
