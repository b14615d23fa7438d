from __future__ import annotations

from pathlib import Path

import pytest

from outcrop.software.plan import (
    BuildPlan,
    FileRole,
    PlannedInstallation,
    ReaderAnswer,
    WantedFile,
    accepted_digests,
    decode_answer,
    encode_answer,
)

A, B, C = "a" * 64, "b" * 64, "c" * 64


@pytest.mark.parametrize(
    ("checksum", "digests"),
    [
        (A.upper(), (A,)),
        (("sha256", A), (A,)),
        ({"x.tar.gz": A, "y.tar.gz": B}, (A,)),
        ({"y.tar.gz": B}, ()),
        ((A, B), (A, B)),
        ([A, {"x.tar.gz": A}], (A,)),
        ([(A, B), (B, C)], (B,)),
        ("d" * 32, ()),
        (("md5", "d" * 32), ()),
        ([("md5", "d" * 32), A], (A,)),
        (None, ()),
        (123, ()),
    ],
)
def test_every_form_of_checksum_is_understood(checksum: object, digests: tuple[str, ...]) -> None:
    assert accepted_digests(checksum, "x.tar.gz") == digests


def test_a_plan_survives_the_way_between_processes() -> None:
    file = WantedFile("x.tar.gz", "x/x", FileRole.SOURCE, (A,), ("https://example.org/x.tar.gz",))
    one = PlannedInstallation("x/1.0", "x", "1.0", "", "system", Path("/x.eb"), (file, file))
    plan = BuildPlan("5.4.1", (one,))
    assert decode_answer(encode_answer(ReaderAnswer(plan))).plan == plan
    assert plan.files == (file,)
