"""What holds for every test: an environment of its own, replayable random data, and no silent skips."""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from tests.skip_budget import EXPECTED, is_whole_suite, kind_of_machine, read_expected, verdict

ROOT = Path(__file__).resolve().parent.parent

_FOREIGN_PREFIXES = (
    "AWS_",
    "OUTCROP_",
    "XDG_",
    "EESSI_",
    "EASYBUILD_",
    "LMOD_",
    "CVMFS_",
    "MODULE",
    "__LMOD",
    "__MODULES",
    "_ML",
)
"""Variables that would carry the settings of whoever runs the tests into them."""

_NUMBERS = itertools.count()

# A failure prints the `@reproduce_failure` line that replays it. Machines that run tests are shared, so a slow example
# is no failure. HYPOTHESIS_PROFILE=thorough tries more.
hypothesis.settings.register_profile("default", deadline=None, print_blob=True)
hypothesis.settings.register_profile("thorough", deadline=None, print_blob=True, max_examples=2000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

# A shell has what it starts in the background ignore Ctrl-C, and all of its children with it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An empty home directory: nothing that a test does through HOME, XDG_* or OUTCROP_* leaves it."""
    directory = tmp_path_factory.getbasetemp() / "homes" / str(next(_NUMBERS))
    runtime = directory / "run"
    runtime.mkdir(parents=True)
    runtime.chmod(0o700)
    before = dict(os.environ)
    for name in before:
        if name.startswith(_FOREIGN_PREFIXES):
            del os.environ[name]
    os.environ.update(
        HOME=str(directory),
        # What this machine knows of repositories has no part in a test either.
        OUTCROP_CVMFS_ETC="",
        XDG_RUNTIME_DIR=str(runtime),
        LC_ALL="C.UTF-8",
        TZ="UTC",
        # Servers of the tests are on loopback; a proxy of the machine has no part in that.
        NO_PROXY="localhost,127.0.0.1,::1",
        no_proxy="localhost,127.0.0.1,::1",
    )
    yield directory
    _restore(before)


def _restore(before: dict[str, str]) -> None:
    """Put the environment back, touching only what differs: pytest keeps notes of its own there."""
    for name in set(os.environ) - set(before) - {"PYTEST_CURRENT_TEST"}:
        del os.environ[name]
    for name, value in before.items():
        if name != "PYTEST_CURRENT_TEST" and os.environ.get(name) != value:
            os.environ[name] = value


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Name every skip, and hold their number against the announced one."""
    skipped = terminalreporter.stats.get("skipped", [])
    for report in skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        terminalreporter.write_line(f"skipped {report.nodeid}: {reason.removeprefix('Skipped: ')}")
    if not is_whole_suite(config.args, config.option.keyword, config.option.markexpr):
        return
    expected = read_expected((ROOT / EXPECTED).read_text(encoding="utf-8"))
    binding = os.environ.get("CI") == "true"
    judged = verdict(len(skipped), kind_of_machine(), expected, binding=binding)
    terminalreporter.write_line(judged.line, red=judged.fails)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail the run in CI when more tests were skipped than announced."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or hasattr(session.config, "workerinput") or session.exitstatus != pytest.ExitCode.OK:
        return
    if not is_whole_suite(session.config.args, session.config.option.keyword, session.config.option.markexpr):
        return
    expected = read_expected((ROOT / EXPECTED).read_text(encoding="utf-8"))
    skipped = len(reporter.stats.get("skipped", []))
    if verdict(skipped, kind_of_machine(), expected, binding=os.environ.get("CI") == "true").fails:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
