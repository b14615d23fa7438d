"""Which targets a processor runs, best first, and why not a better one.

The rules are in `outcrop.init.rules`, the reading of `/proc/cpuinfo` in `outcrop.init.cpu`. The last target is always
the family's `generic`.
"""

from __future__ import annotations

from dataclasses import dataclass

from outcrop.errors import InvalidValue
from outcrop.init.cpu import Cpu, Mode, read_cpu
from outcrop.init.rules import ANY_VENDOR, COMPAT_RULES, FIXED_RULES, Rule
from outcrop.init.target import Family, Target

ARM_LIMITED = "0x41"
"""The implementer that archdetect takes every Arm vendor for that it does not know."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a processor runs what is built for a rule's target: it does when nothing is missing."""

    rule: Rule
    vendor_differs: bool
    missing: tuple[str, ...]

    @property
    def target(self) -> Target:
        return self.rule.target

    @property
    def fits(self) -> bool:
        return not self.vendor_differs and not self.missing


@dataclass(frozen=True, slots=True)
class Detection:
    """The answer for one processor. `verdicts` are those of the family's rules, the most demanding first."""

    mode: Mode
    cpu: Cpu
    verdicts: tuple[Verdict, ...]

    @property
    def targets(self) -> tuple[Target, ...]:
        """The targets whose software runs here, best first, the family's `generic` last."""
        return (*(verdict.target for verdict in self.verdicts if verdict.fits), Target.generic(self.cpu.family))

    @property
    def best(self) -> Target:
        return self.targets[0]

    @property
    def options(self) -> str:
        """The targets as one line, in the form of `EESSI_ARCHDETECT_OPTIONS`."""
        return ":".join(target.path for target in self.targets)

    @property
    def next_better(self) -> Verdict | None:
        """The least demanding target above the best one that this vendor's processors can have."""
        above: Verdict | None = None
        for verdict in self.verdicts:
            if verdict.fits:
                break
            if not verdict.vendor_differs:
                above = verdict
        return above

    def explanation(self) -> tuple[str, ...]:
        """Sentences that say which rule held and what the next better target would need."""
        held = next((verdict.rule for verdict in self.verdicts if verdict.fits), None)
        lines = [_why_it_fits(self.cpu, held, self.best)]
        if (better := self.next_better) is not None:
            lines.append(f"{better.target} does not fit: the processor lacks {', '.join(better.missing)}.")
        if held is None and all(verdict.vendor_differs for verdict in self.verdicts):
            lines.append(f"No target of this family is for the vendor '{self.cpu.vendor or 'unknown'}'.")
        if self.mode is Mode.COMPAT:
            lines.append("Judged by the rules of EESSI's archdetect, with their known faults.")
        return tuple(lines)


def detect(cpuinfo: str, machine_type: str, mode: Mode = Mode.FIXED) -> Detection:
    """The targets that fit the processor which `cpuinfo` describes.

    `machine_type` is what `uname -m` says. Raises `InvalidValue` for a machine type without targets, and in compat
    mode where archdetect gives up: a processor of a known vendor whose features the text does not tell.
    """
    family = Family.parse(machine_type)
    cpu = read_cpu(cpuinfo, family, mode)
    if mode is Mode.COMPAT:
        rules = COMPAT_RULES[family]
        vendor = _vendor_as_archdetect_has_it(cpu, rules)
        # What archdetect reads as features depends on the vendor that the file names, not on the assumed one.
        cpu = Cpu(family, vendor, cpu.features)
    else:
        rules = FIXED_RULES[family]
    verdicts = tuple(_judge(cpu, rule, mode) for rule in reversed(rules))
    return Detection(mode, cpu, verdicts)


def _judge(cpu: Cpu, rule: Rule, mode: Mode) -> Verdict:
    vendor_differs = rule.vendor not in (ANY_VENDOR, cpu.vendor)
    if mode is Mode.COMPAT and not vendor_differs and not cpu.features:
        raise InvalidValue(
            what="the description of the processor",
            problem=f"names the vendor '{cpu.vendor}' but no features",
            hint="archdetect stops here; without --compat the answer is the family's generic target",
        )
    missing = tuple(feature for feature in rule.features if not cpu.has(feature))
    return Verdict(rule, vendor_differs, missing)


def _vendor_as_archdetect_has_it(cpu: Cpu, rules: tuple[Rule, ...]) -> str:
    if cpu.family is not Family.AARCH64:
        return cpu.vendor
    known = " ".join(rule.vendor for rule in rules)
    return cpu.vendor if f" {cpu.vendor} " in f" {known} " else ARM_LIMITED


def _why_it_fits(cpu: Cpu, rule: Rule | None, best: Target) -> str:
    if rule is None:
        return f"{best} fits: every {cpu.family} processor runs it."
    vendor = "" if rule.vendor in (ANY_VENDOR, "") else f" made by {rule.vendor}"
    return f"{best} fits: a processor{vendor} with {', '.join(rule.features)}."
