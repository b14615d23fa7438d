"""How bad a fault is by CVSS, from the vector that a record gives. The words are those of CVSS itself."""

from __future__ import annotations

from decimal import Decimal

from cvss import CVSS2, CVSS3, CVSS4
from cvss.exceptions import CVSSError

from outcrop.compat.audit.faults import Severity

_LONGEST_VECTOR = 500
"""All that CVSS 4.0 knows, each once, has about 200 characters."""

_LOWEST = ((9.0, Severity.CRITICAL), (7.0, Severity.HIGH), (4.0, Severity.MEDIUM))


def base_score(vector: str) -> float | None:
    """The base score, 0 to 10, of a vector of CVSS 2, 3 or 4; None for what is none."""
    if len(vector) > _LONGEST_VECTOR:
        return None
    kind = CVSS4 if vector.startswith("CVSS:4") else CVSS3 if vector.startswith("CVSS:3") else CVSS2
    try:
        score: Decimal | float | None = kind(vector).base_score
    except CVSSError:
        return None
    return None if score is None else float(score)


def score_severity(score: float) -> Severity:
    """What `score` is called. Nothing is unimportant because of a number alone."""
    return next((severity for lowest, severity in _LOWEST if score >= lowest), Severity.LOW)


_WORDS = {
    "critical": Severity.CRITICAL,
    "high": Severity.HIGH,
    "important": Severity.HIGH,
    "moderate": Severity.MEDIUM,
    "medium": Severity.MEDIUM,
    "low": Severity.LOW,
}


def word_severity(word: object) -> Severity:
    """What the word of a database means that gives no vector."""
    return _WORDS.get(word.lower(), Severity.UNKNOWN) if isinstance(word, str) else Severity.UNKNOWN
