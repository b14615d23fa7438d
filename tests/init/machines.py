"""Processors as `/proc/cpuinfo` tells of them, shortened to the lines that count."""

from __future__ import annotations

HASWELL_FLAGS = "fpu avx2 fma bmi1 bmi2 f16c movbe abm"
ZEN1 = f"vendor_id\t: AuthenticAMD\nflags\t\t: {HASWELL_FLAGS} adx sha_ni clzero\n"
ZEN2 = f"vendor_id\t: AuthenticAMD\nflags\t\t: {HASWELL_FLAGS} adx sha_ni clzero clwb\n"
HYGON = ZEN2.replace("AuthenticAMD", "HygonGenuine")
HASWELL = f"vendor_id\t: GenuineIntel\nflags\t\t: {HASWELL_FLAGS}\n"
HASWELL_WITHOUT_BMI2 = HASWELL.replace(" bmi2", "")
POWER9_BARE_METAL = "processor\t: 0\ncpu\t\t: POWER9, altivec supported\n"
POWER9_VIRTUAL = "processor\t: 0\ncpu\t\t: POWER9 (architected), altivec supported\n"
POWER8 = "processor\t: 0\ncpu\t\t: POWER8 (raw), altivec supported\n"
POWER10 = "processor\t: 0\ncpu\t\t: POWER10 (architected), altivec supported\n"

_N1 = "fp asimd atomics fphp asimdhp asimdrdm lrcpc dcpop crc32"
_V1 = f"{_N1} asimddp fcma jscvt ilrcpc flagm uscat asimdfhm i8mm bf16 sve svei8mm svebf16"


def arm(features: str, implementer: str = "0x41", part: str = "0xd0c") -> str:
    """One Arm core."""
    return f"processor\t: 0\nFeatures\t: {features}\nCPU implementer\t: {implementer}\nCPU part\t: {part}\n\n"


ALTRA = arm(f"{_N1} asimddp")
AMPERE_ONE = arm(f"{_N1} asimddp i8mm bf16", "0xc0", "0xac3")
APPLE_WITHOUT_DOT_PRODUCT = arm(_N1, "0x61", "0x022")
UNFINISHED_N1 = arm("fp asimd asimddp", "0x61", "0x022")
GRACE = arm(f"{_V1} sve2 svebitperm sm3 sm4 svesm4", part="0xd4f")
AXION = arm(f"{_V1} sve2 svebitperm sm3 sm4 svesm4 rng", part="0xd4f")
A64FX = arm("fp asimd atomics crc32 asimdrdm fcma fphp asimdhp sve", "0x46", "0x001")
OTHER_FUJITSU = arm("fp asimd atomics crc32 asimdrdm fcma fphp asimdhp sve sve2", "0x46", "0x003")
BIG_LITTLE = GRACE + ALTRA

P550 = "isa\t\t: rv64imafdch_zicsr_zifencei_zba_zbb_sscofpmf\nmvendorid\t: 0x489\n"
P550_NEWER_KERNEL = "isa\t\t: rv64imafdch_zicntr_zicsr_zifencei_zihpm_zba_zbb_sscofpmf\nmvendorid\t: 0x489\n"
X60 = "isa\t\t: rv64imafdcv_zicbom_zicboz_zicntr_zba_zbb\nmvendorid\t: 0x710\n"
