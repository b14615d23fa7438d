"""What is wrong with a command line, in our words: click's usage errors are translated here and nowhere else."""

from __future__ import annotations

import os
from collections.abc import Mapping

import click
from click.core import ParameterSource

from outcrop.errors import InvalidValue, OutcropError, UsageError


def usage_error(error: click.ClickException, environment: Mapping[str, str] = os.environ) -> OutcropError:
    """The error of ours that says what `error` means, with the next thing to type."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    command = context.command_path if context else "outcrop"
    hint = f"`{command} --help` shows what it takes"
    if isinstance(error, click.FileError):
        return InvalidValue(what=error.ui_filename, problem=f"cannot be opened: {_phrase(error.message)}")
    if isinstance(error, click.NoSuchOption):
        if error.possibilities:
            hint = f"did you mean {' or '.join(f'`{spelling}`' for spelling in sorted(error.possibilities))}?"
        return UsageError(problem=f"`{command}` has no option {error.option_name}", hint=hint)
    if isinstance(error, click.MissingParameter) and error.param is not None:
        return UsageError(problem=f"`{command}` needs {_parameter(error.param)}", hint=hint)
    if isinstance(error, click.BadParameter) and error.param is not None:
        given = _variable_used(error.param, context, environment) or _parameter(error.param)
        return UsageError(problem=f"{given} does not fit: {_phrase(error.message)}", hint=hint)
    return UsageError(problem=_phrase(error.format_message()), hint=hint)


def _parameter(param: click.Parameter) -> str:
    if isinstance(param, click.Option):
        return max(param.opts, key=len)
    return (param.metavar or param.name or "an argument").strip("[].").upper()


def _variable_used(param: click.Parameter, context: click.Context | None, environment: Mapping[str, str]) -> str:
    """The variable that gave `param` its value, if one did."""
    if context is None or not isinstance(param, click.Option):
        return ""
    if context.get_parameter_source(param.name) is not ParameterSource.ENVIRONMENT:
        return ""
    names = [param.envvar] if isinstance(param.envvar, str) else param.envvar or []
    return next((f"{name} in the environment" for name in names if environment.get(name)), "")


def _phrase(sentence: str) -> str:
    """A sentence of click's as a part of one of ours."""
    sentence = sentence.strip().removesuffix(".")
    return sentence[:1].lower() + sentence[1:] if sentence[:2].istitle() else sentence
