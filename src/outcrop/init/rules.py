"""The table of targets: what a processor must have to run what is built for each of them.

A rule holds when the vendor is the rule's and every feature is among the processor's. Within a family the rules
are ordered from old to new and the last one that holds is the best, as in EESSI's archdetect.

There are two tables. `FIXED_RULES` asks for everything that a compiler told to build for the target uses without
being asked, and that numerical libraries choose when they are configured on it, so that a program never meets an
instruction it cannot run. `COMPAT_RULES` are the conditions of archdetect 1.2.0, which tell fewer processors apart.

Sources: the feature sets of archspec and of GCC's x86, AArch64 and RISC-V option tables; the names are those of
Linux's `/proc/cpuinfo`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from outcrop.init.target import Family, Target

ANY_VENDOR = "*"
"""In a rule: what the features say is enough, whoever made the processor."""

RuleTable = Mapping[Family, tuple["Rule", ...]]


@dataclass(frozen=True, slots=True)
class Rule:
    """What a processor must be to run what is built for `target`."""

    target: Target
    vendor: str
    features: tuple[str, ...]


def _rule(path: str, vendor: str, features: str) -> Rule:
    """A rule from words as they stand in a table: `features` are separated by spaces."""
    return Rule(Target.parse(path), vendor, tuple(features.split()))


# x86-64-v3 beyond what every processor of the last decade shares; a hypervisor can hide any of these.
_HASWELL = "avx2 fma bmi1 bmi2 f16c movbe abm"
_AVX512 = "avx512f avx512bw avx512cd avx512dq avx512vl"
_AVX512_OF_2019 = "avx512ifma avx512vbmi avx512_vbmi2 avx512_vnni avx512_bitalg avx512_vpopcntdq gfni"
_SKYLAKE_AVX512 = f"{_HASWELL} adx {_AVX512}"
_ICELAKE = f"{_SKYLAKE_AVX512} {_AVX512_OF_2019} vaes vpclmulqdq"
# clwb is what Zen 2 has and Zen 1 has not.
_ZEN2 = f"{_HASWELL} adx clwb"
_ZEN3 = f"{_ZEN2} vaes vpclmulqdq"
_ZEN4 = f"{_ZEN3} {_AVX512} {_AVX512_OF_2019} avx512_bf16"

# Armv8.2-A as Neoverse N1 implements it: atomics, rounding multiply, half precision, dot product, RCpc.
_NEOVERSE_N1 = "atomics asimdrdm crc32 asimdhp fphp asimddp lrcpc"
_NEOVERSE_V1 = f"{_NEOVERSE_N1} fcma jscvt ilrcpc flagm uscat asimdfhm i8mm bf16 sve svei8mm svebf16"
_NEOVERSE_V2 = f"{_NEOVERSE_V1} sve2 svebitperm sm3 sm4 svesm4"

FIXED_RULES: RuleTable = {
    Family.X86_64: (
        _rule("x86_64/intel/haswell", "GenuineIntel", _HASWELL),
        _rule("x86_64/intel/skylake_avx512", "GenuineIntel", _SKYLAKE_AVX512),
        _rule("x86_64/intel/cascadelake", "GenuineIntel", f"{_SKYLAKE_AVX512} avx512_vnni"),
        _rule("x86_64/intel/icelake", "GenuineIntel", _ICELAKE),
        _rule("x86_64/intel/sapphirerapids", "GenuineIntel", f"{_ICELAKE} avx512_bf16 amx_tile"),
        _rule("x86_64/amd/zen2", "AuthenticAMD", _ZEN2),
        _rule("x86_64/amd/zen3", "AuthenticAMD", _ZEN3),
        _rule("x86_64/amd/zen4", "AuthenticAMD", _ZEN4),
        _rule("x86_64/amd/zen5", "AuthenticAMD", f"{_ZEN4} avx512_vp2intersect avx_vnni movdiri"),
    ),
    Family.AARCH64: (
        # Built for vectors of exactly 512 bits, which no feature says: only the part number does.
        _rule("aarch64/a64fx", "0x46", "asimdrdm atomics crc32 fcma asimdhp fphp sve part:0x001"),
        _rule("aarch64/neoverse_n1", ANY_VENDOR, _NEOVERSE_N1),
        _rule("aarch64/neoverse_v1", ANY_VENDOR, _NEOVERSE_V1),
        _rule("aarch64/nvidia/grace", ANY_VENDOR, _NEOVERSE_V2),
        _rule("aarch64/google/axion", ANY_VENDOR, f"{_NEOVERSE_V2} rng"),
    ),
    Family.RISCV64: (
        _rule("riscv64/sifive/p550", "0x489", "i m a f d c zba zbb"),
        _rule("riscv64/spacemit/x60", "0x710", "i m a f d c v"),
        # The same processor, whose scalar extensions Linux tells since 6.6.
        _rule("riscv64/spacemit/x60-k6.6", "0x710", "i m a f d c v zicond zfh zfhmin zba zbb zbc zbs zvfh zvfhmin"),
    ),
    Family.PPC64LE: (_rule("ppc64le/power9le", ANY_VENDOR, "power9"),),
}

_COMPAT_SKYLAKE = "avx2 fma avx512f avx512bw avx512cd avx512dq avx512vl"
_COMPAT_ZEN4 = "avx2 fma vaes avx512f avx512ifma"

COMPAT_RULES: RuleTable = {
    Family.X86_64: (
        _rule("x86_64/intel/haswell", "GenuineIntel", "avx2 fma"),
        _rule("x86_64/intel/skylake_avx512", "GenuineIntel", _COMPAT_SKYLAKE),
        _rule("x86_64/intel/cascadelake", "GenuineIntel", f"{_COMPAT_SKYLAKE} avx512_vnni"),
        _rule("x86_64/intel/icelake", "GenuineIntel", f"{_COMPAT_SKYLAKE} avx512_vnni avx512_vbmi2"),
        _rule("x86_64/intel/sapphirerapids", "GenuineIntel", f"{_COMPAT_SKYLAKE} avx512_bf16 amx_tile"),
        _rule("x86_64/amd/zen2", "AuthenticAMD", "avx2 fma"),
        _rule("x86_64/amd/zen3", "AuthenticAMD", "avx2 fma vaes"),
        _rule("x86_64/amd/zen4", "AuthenticAMD", _COMPAT_ZEN4),
        _rule("x86_64/amd/zen5", "AuthenticAMD", f"{_COMPAT_ZEN4} avx512_vp2intersect avx_vnni movdiri"),
    ),
    Family.AARCH64: (
        _rule("aarch64/a64fx", "0x46", "asimdhp sve"),
        # "ARM" is how lscpu writes the vendor that /proc/cpuinfo calls 0x41.
        _rule("aarch64/neoverse_n1", "ARM", "asimddp"),
        _rule("aarch64/neoverse_n1", "0x41", "asimddp"),
        _rule("aarch64/neoverse_v1", "ARM", "asimddp svei8mm"),
        _rule("aarch64/neoverse_v1", "0x41", "asimddp svei8mm"),
        _rule("aarch64/nvidia/grace", "0x41", "sve2 sm3 sm4 svesm4"),
        _rule("aarch64/google/axion", "0x41", "sve2 rng sm3 sm4 svesm4"),
    ),
    Family.RISCV64: (
        # The whole string of extensions is one word, so another kernel's wording of the same processor misses.
        _rule("riscv64/sifive/p550", "0x489", "rv64imafdch_zicsr_zifencei_zba_zbb_sscofpmf"),
        _rule(
            "riscv64/spacemit/x60",
            "0x710",
            "rv64imafdcv_sscofpmf_sstc_svpbmt_zicbom_zicboz_zicbop_zihintpause",
        ),
        _rule(
            "riscv64/spacemit/x60-k6.6",
            "0x710",
            "rv64imafdcv_zicbom_zicboz_zicntr_zicond_zicsr_zifencei_zihintpause_zihpm_zfh_zfhmin_zca_zcd_zba_zbb_zbc_zbs"
            "_zkt_zve32f_zve32x_zve64d_zve64f_zve64x_zvfh_zvfhmin_zvkt_sscofpmf_sstc_svinval_svnapot_svpbmt",
        ),
    ),
    Family.PPC64LE: (_rule("ppc64le/power9le", "", "POWER9"),),
}
