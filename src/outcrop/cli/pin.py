"""Asking for the PIN of a token: on a terminal, and only where no variable says it."""

from __future__ import annotations

import os
import sys

import click

from outcrop.cli.terminal import is_terminal
from outcrop.stratum0.signing.pkcs11_key import PIN_VARIABLE, TokenAccess, pin_from_environment


def token_access() -> TokenAccess:
    """How this command reaches tokens."""
    return TokenAccess(ask_pin=_asked)


def _asked(token: str) -> str:
    if os.environ.get(PIN_VARIABLE) or not (is_terminal(sys.stdin) and is_terminal(sys.stderr)):
        return pin_from_environment(token)
    return str(click.prompt(f"PIN of {token}", hide_input=True, err=True))
