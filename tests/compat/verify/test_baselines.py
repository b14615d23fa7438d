"""Which instructions are beyond a family's baseline: words from the manuals, as assemblers write them."""

from __future__ import annotations

import struct

import pytest

from outcrop.compat.verify import baseline_aarch64, baseline_riscv64
from outcrop.compat.verify.instruction import Place

baseline_x86_64 = pytest.importorskip("outcrop.compat.verify.baseline_x86_64")

ENDBR64 = bytes.fromhex("f30f1efa")
RET = b"\xc3"


def words(*numbers: int) -> bytes:
    return struct.pack(f"<{len(numbers)}I", *numbers)


@pytest.mark.parametrize(
    "code",
    [
        ENDBR64 + RET,
        bytes.fromhex("660fefc0"),  # pxor xmm0, xmm0
        bytes.fromhex("f30fbcc0"),  # tzcnt eax, eax: bsf with a prefix
        bytes.fromhex("f3480f1ec8"),  # rdsspq rax
        bytes.fromhex("f390"),  # pause
        bytes.fromhex("0f0d08"),  # prefetchw [rax]
        bytes.fromhex("0fc709"),  # cmpxchg8b [rcx]
        bytes.fromhex("89c5c3"),  # mov ebp, eax: a byte that begins AVX elsewhere
        b"\x06" * 9,  # no instruction of 64 bits
        b"\xc5",
        b"",
    ],
)
def test_x86_64_has_what_was_always_there(code: bytes) -> None:
    assert baseline_x86_64.scan(code).extensions == frozenset()


@pytest.mark.parametrize(
    ("code", "extension"),
    [
        ("c5f9efc0", "avx"),  # vpxor xmm0, xmm0, xmm0
        ("c5fdefc0", "avx2"),  # vpxor ymm0, ymm0, ymm0
        ("62f17d48efc0", "avx512f"),  # vpxord zmm0, zmm0, zmm0
        ("660f3800c1", "ssse3"),  # pshufb xmm0, xmm1
        ("660f3a0bc100", "sse4_1"),  # roundsd
        ("f20f38f1c1", "sse4_2"),  # crc32
        ("f30fb8c1", "popcnt"),
        ("f30fbdc1", "lzcnt"),
        ("480fc70f", "cmpxchg16b"),
        ("9f", "lahf"),
        ("0f38f001", "movbe"),
        ("c4e270f2c0", "bmi1"),  # andn
        ("c4e2f9f7c0", "bmi2"),  # shlx
        ("0fc7f0", "rdrand"),
        ("f20fd0c1", "sse3"),  # addsubps
    ],
)
def test_x86_64_tells_what_came_later(code: str, extension: str) -> None:
    data = ENDBR64 + bytes.fromhex(code) + RET
    assert baseline_x86_64.scan(data).extensions == {extension}
    assert baseline_x86_64.places(data, 0x1000, {extension})[extension].address == 0x1004


def test_x86_64_decodes_on_after_a_table() -> None:
    data = b"\x06\x07\x0e" + 8 * b"\x90" + bytes.fromhex("c5f9efc0")
    assert baseline_x86_64.scan(data).extensions == {"avx"}
    assert baseline_x86_64.places(data, 0, {"avx"}) == {"avx": Place(11, "vpxor xmm0,xmm0,xmm0", 1)}


def test_x86_64_that_asks_the_processor_is_told() -> None:
    assert baseline_x86_64.scan(bytes.fromhex("0fa2")).asks
    assert not baseline_x86_64.scan(RET).asks


@pytest.mark.parametrize(
    "word",
    [
        0xD65F03C0,  # ret
        0xD503233F,  # paciasp
        0xD503245F,  # bti c
        0x4E20D420,  # fadd v0.4s, v1.4s, v0.4s
        0x1EE24020,  # fcvt s0, h1
        0x885FFC41,  # ldaxr w1, [x2]
        0xC87F0440,  # ldxp x0, x1, [x2]
        0x088DFC41 | 0x00800000,  # stlrb
        0xF9400000,  # ldr x0, [x0]
        0x00000000,  # udf
    ],
)
def test_aarch64_has_what_was_always_there(word: int) -> None:
    assert baseline_aarch64.scan(words(word)).extensions == frozenset()


@pytest.mark.parametrize(
    ("word", "extension"),
    [
        (0xB8E00041, "lse"),  # ldaddal w0, w1, [x2]
        (0x88E0FC41, "lse"),  # casal w0, w1, [x2]
        (0x48207C82, "lse"),  # casp x0, x1, x2, x3, [x4]
        (0x1AC34000, "crc32"),  # crc32b w0, w0, w3
        (0x4E284A80, "aes"),  # aese v0.16b, v20.16b
        (0x5E280800, "sha"),  # sha1h s0, s0
        (0xCE638022, "sha3"),  # sha512su0 and its like
        (0x04E0E3E0, "sve"),  # cntd x0
        (0x2E819400 | 0x00000000, "dotprod"),  # udot v0.2s, v0.8b, v1.8b
        (0xB8BFC041, "rcpc"),  # ldapr w1, [x2]
        (0x1EE12800, "fp16"),  # fadd h0, h0, h1
        (0x7E818400, "rdm"),  # sqrdmlah s0, s0, s1
        (0xD65F0BFF, "pauth"),  # retaa
        (0xDAC10020, "pauth"),  # pacia x0, x1
        (0x9AC23020, "pauth"),  # pacga x0, x1, x2
        (0xD9600000, "mte"),  # ldg x0, [x0]
        (0x19010443, "mops"),  # cpyfp
        (0xD53B2400, "rng"),  # mrs x0, rndr
        (0x1E7E0000, "jscvt"),
    ],
)
def test_aarch64_tells_what_came_later(word: int, extension: str) -> None:
    code = words(0xD503233F, word, 0xD503233F)
    assert baseline_aarch64.scan(code).extensions == {extension}
    assert baseline_aarch64.places(code, 0x1000, {extension}) == {extension: Place(0x1004, f"{word:#010x}", 1)}


def test_aarch64_atomics_that_are_branched_around_are_harmless() -> None:
    branch, atomic, ret, other = 0x34000070, 0xB8E00041, 0xD65F03C0, 0xD503201F
    assert baseline_aarch64.scan(words(branch, atomic, ret)).extensions == frozenset()
    assert baseline_aarch64.scan(words(branch, atomic, other)).extensions == {"lse"}
    assert baseline_aarch64.scan(words(other, atomic, ret)).extensions == {"lse"}
    assert baseline_aarch64.scan(words(atomic)).extensions == {"lse"}


def test_aarch64_that_asks_the_processor_is_told() -> None:
    assert baseline_aarch64.scan(words(0xD5380600)).asks  # mrs x0, id_aa64isar0_el1
    assert not baseline_aarch64.scan(words(0xD53BD040)).asks  # mrs x0, tpidr_el0


@pytest.mark.parametrize(
    "code",
    [
        words(0x00008067),  # ret
        words(0x02B50533),  # mul a0, a0, a1
        words(0x1005252F),  # lr.w a0, (a0)
        words(0x02B577D3),  # fadd.d
        words(0x0100000F),  # pause: a fence that orders nothing
        words(0xC0102573),  # rdtime a0
        words(0x4205D513),  # srai a0, a1, 32
        bytes.fromhex("8280"),  # c.jr ra
        bytes.fromhex("0000"),  # illegal by definition
    ],
)
def test_riscv64_has_what_was_always_there(code: bytes) -> None:
    assert baseline_riscv64.scan(code).extensions == frozenset()


@pytest.mark.parametrize(
    ("word", "extension"),
    [
        (0x0D057057, "v"),  # vsetvli
        (0x02056007, "v"),  # vle32.v
        (0xC2202573, "v"),  # csrr a0, vlenb
        (0x20B52533, "zb"),  # sh1add a0, a0, a1
        (0x60251513, "zb"),  # cpop a0, a0
        (0x0EB55533, "zicond"),
        (0x04B57553, "zfh or zfa"),  # fadd.h
        (0x0025200F, "zicbom"),  # cbo.flush
    ],
)
def test_riscv64_tells_what_came_later(word: int, extension: str) -> None:
    code = bytes.fromhex("0100") + words(word) + bytes.fromhex("8280")
    assert baseline_riscv64.scan(code).extensions == {extension}
    assert baseline_riscv64.places(code, 0x1000, {extension}) == {extension: Place(0x1002, f"{word:#x}", 1)}


def test_riscv64_finds_where_instructions_begin() -> None:
    # The second half of `lui a0, 0x57575` looks like the beginning of an instruction of vectors.
    halves = words(0x57575537) + bytes.fromhex("0100") + words(0x00008067)
    assert baseline_riscv64.scan(halves).extensions == frozenset()
    assert baseline_riscv64.scan(halves[2:]).extensions == {"v"}


@pytest.mark.parametrize("number", range(4))
def test_code_that_ends_within_an_instruction_is_read(number: int) -> None:
    for baseline in (baseline_x86_64, baseline_aarch64, baseline_riscv64):
        assert baseline.scan(bytes(number)).extensions == frozenset()
