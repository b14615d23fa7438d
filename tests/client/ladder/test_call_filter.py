"""The filter's program, run by an interpreter of its language as the kernel would run it."""

from __future__ import annotations

import errno
import struct

import pytest

from outcrop.client.ladder.call_filter import Forbidden, filter_program

ALLOW, FAIL = 0x7FFF0000, 0x00050000
HERE, ELSEWHERE = 0xC000003E, 0x40000003
FORBIDDEN = (Forbidden(332, errno.ENOSYS), Forbidden(272, errno.EPERM, flags=0x10020000))


def verdict(program: bytes, number: int, architecture: int = HERE, argument: int = 0) -> int:
    """What the kernel answers to a call."""
    data = struct.pack("=IIQQ", number, architecture, 0, argument)
    lines = [struct.unpack_from("=HBBI", program, offset) for offset in range(0, len(program), 8)]
    position = value = 0
    while True:
        code, if_true, if_false, operand = lines[position]
        position += 1
        if code == 0x20:
            value = struct.unpack_from("=I", data, operand)[0]
        elif code == 0x06:
            return int(operand)
        else:
            holds = value == operand if code == 0x15 else bool(value & operand)
            position += if_true if holds else if_false


@pytest.mark.parametrize(
    ("number", "argument", "answer"),
    [
        (332, 0, FAIL | errno.ENOSYS),
        (332, 7, FAIL | errno.ENOSYS),
        (272, 0x10000000, FAIL | errno.EPERM),
        (272, 0x00020000, FAIL | errno.EPERM),
        (272, 0x40000000, ALLOW),
        (0, 0, ALLOW),
    ],
)
def test_only_what_is_forbidden_fails(number: int, argument: int, answer: int) -> None:
    assert verdict(filter_program(FORBIDDEN, HERE), number, argument=argument) == answer


def test_calls_of_another_architecture_have_other_numbers_and_pass() -> None:
    assert verdict(filter_program(FORBIDDEN, HERE), 332, ELSEWHERE) == ALLOW
