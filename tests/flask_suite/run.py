"""Runs Flask's own test suite without and with a kit on every app, and compares each test.

::

    python tests/flask_suite/run.py 3.0.3 3.1.3
    python tests/flask_suite/run.py ../flask -- tests/test_basic.py -k session

Each argument is a version, whose source distribution is fetched from the package index, or the
path of a checkout of Flask; what follows ``--`` goes to pytest. All of it happens in a temporary
folder: a virtual environment with that Flask, what its suite requires, and later the kit. The
suite runs once before the kit is installed, and once in each mode of ``plugin.py``. The exit code
is 1 where a test ends otherwise than it did without the kit, a step of the kit failed, or a test
in ``differences.py`` ended as it did without.
"""

from __future__ import annotations

import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import tarfile
import tempfile
import typing as t
import venv
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
# Neither a script nor a module of the tests could import it for the other.
KNOWN: dict[str, str] = runpy.run_path(str(HERE / "differences.py"))["KNOWN"]
MODES = {
    "off": "tracing off",
    "trace": "full trace",
    "pages": "full trace with pages",
}
LOCKED = re.compile(r'^name = "(.+)"\nversion = "(.+)"$', re.MULTILINE)
WITHOUT_LOCK = "werkzeug<3.1\nclick<8.2\n"
"""What Flask 3.0, whose sources hold no lock file, was tested with."""

Outcomes = dict[str, str]
"""The names of tests, and how they ended."""


class SuiteError(Exception):
    """A step before the comparison failed; holds its output."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A test that ended otherwise than without the kit."""

    name: str
    without: str
    outcome: str

    def __str__(self) -> str:
        return f"{self.name}: {self.without} without the kit, {self.outcome} with it"


@dataclass(slots=True)
class Tally:
    """What all runs came to."""

    passed: int = 0
    failed: int = 0
    met: set[str] = field(default_factory=set)
    """The known differences that were seen."""


def command(*arguments: str | Path, cwd: Path, **environ: str) -> str:
    """The output of a command.

    :raises SuiteError: with that output, if its exit code is not 0.
    """
    done = subprocess.run(
        [str(argument) for argument in arguments],
        cwd=cwd,
        env={**os.environ, **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SuiteError(done.stdout)
    return done.stdout


class Suite:
    """The suite of one Flask, in a folder of its own."""

    def __init__(self, flask: str, folder: Path, selection: t.Sequence[str] = ()) -> None:
        self.folder, self.selection = folder, selection
        venv.create(folder / "venv", with_pip=True)
        scripts = "Scripts" if os.name == "nt" else "bin"
        self.python = folder / "venv" / scripts / "python"
        # Older ones know no dependency groups.
        self.pip("install", "--upgrade", "pip>=25.1")
        self.source = self._copied(Path(flask)) if Path(flask).is_dir() else self._fetched(flask)
        self._install()

    def pip(self, *arguments: str | Path) -> None:
        """Run pip in the suite's environment."""
        command(self.python, "-m", "pip", "-q", *arguments, cwd=self.folder)

    def _copied(self, checkout: Path) -> Path:
        ignore = shutil.ignore_patterns(".git", ".tox", ".venv", "__pycache__")
        return Path(shutil.copytree(checkout, self.folder / "flask", ignore=ignore))

    def _fetched(self, version: str) -> Path:
        wanted = f"flask=={version}"
        self.pip("download", "--no-binary", "flask", "--no-deps", "-d", self.folder, wanted)
        (archive,) = self.folder.glob("*.tar.gz")
        # The first releases of Python 3.10 and 3.11 have no filters.
        safely: dict[str, t.Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        with tarfile.open(archive) as opened:
            opened.extractall(self.folder, **safely)
        return self.folder / archive.name.removesuffix(".tar.gz")

    def _install(self) -> None:
        lock = self.source / "uv.lock"
        constraints = self.folder / "constraints.txt"
        constraints.write_text(_pinned(lock.read_text()) if lock.exists() else WITHOUT_LOCK)
        listed = self.source / "requirements" / "tests.txt"
        group = f"{self.source / 'pyproject.toml'}:tests"
        tests = ("-r", listed) if listed.exists() else ("--group", group)
        self.pip("install", "-c", constraints, self.source, *tests)

    def add_kit(self) -> None:
        """Install the kit; what it requires is there with Flask."""
        self.pip("install", "--no-deps", ROOT)

    def outcomes(self, name: str, *arguments: str | Path) -> Outcomes:
        """How each test ends, with more *arguments* for pytest.

        :raises SuiteError: if the suite can't be run.
        """
        file = self.folder / f"{name}.xml"
        run = (self.python, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={file}")
        try:
            command(
                *run, *arguments, *self.selection, cwd=self.source,
                PYTHONPATH=str(HERE) if arguments else "", PYTEST_ADDOPTS="",
            )  # fmt: skip
        except SuiteError:
            if not file.exists():
                raise
        return read_outcomes(file)

    def outcomes_with_kit(self, mode: str) -> tuple[Outcomes, dict[str, t.Any]]:
        """How each test ends with a kit on every app, and what the plugin reports."""
        report = self.folder / f"{mode}.json"
        outcomes = self.outcomes(
            mode, "-p", "plugin", f"--ctxkit-mode={mode}", f"--ctxkit-report={report}"
        )
        return outcomes, json.loads(report.read_text())


def _pinned(lock: str) -> str:
    # Of several versions of one package the last is the one for newer Pythons.
    versions = dict(LOCKED.findall(lock))
    versions.pop("flask", None)
    return "".join(f"{name}=={version}\n" for name, version in versions.items())


def read_outcomes(file: Path) -> Outcomes:
    """The names and ends of the tests in a JUnit report that pytest has written."""
    outcomes: Outcomes = {}
    for case in ET.parse(file).iter("testcase"):
        name = f"{case.get('classname')}::{case.get('name')}"
        ended = [part.tag for part in case if part.tag in {"failure", "error", "skipped"}]
        # A test that fails and then fails in its teardown stands there twice.
        before = outcomes.get(name, "passed")
        outcomes[name] = ended[0] if ended and before == "passed" else before
    return outcomes


def compared(without: Outcomes, outcomes: Outcomes) -> tuple[list[Difference], list[Difference]]:
    """The tests that end otherwise: those that nobody knows of, and the known ones."""
    found = [
        Difference(name, without.get(name, "missing"), outcomes.get(name, "missing"))
        for name in sorted({*without, *outcomes})
        if without.get(name) != outcomes.get(name)
    ]
    unknown = [difference for difference in found if difference.name not in KNOWN]
    return unknown, [difference for difference in found if difference.name in KNOWN]


def compare(suite: Suite, flask: str, tally: Tally) -> None:
    """Run *suite* with and without the kit, tell how it went, and count it in *tally*."""
    without = suite.outcomes("without")
    title = f"flask {flask}" if not Path(flask).is_dir() else f"flask at {Path(flask).name}"
    print(f"{title}, without the kit: {_counted(without)}", flush=True)
    suite.add_kit()
    for mode, words in MODES.items():
        outcomes, report = suite.outcomes_with_kit(mode)
        unknown, known = compared(without, outcomes)
        tally.met.update(difference.name for difference in known)
        tally.passed += len(without) - len(unknown)
        problems = [str(difference) for difference in unknown]
        problems += [f"the kit failed in {what}" for what in report["failures"]]
        if not report.get("apps") or (mode != "off" and not report.get("traces")):
            problems.append("no app had a kit that worked")
        tally.failed += len(problems)
        print(
            f"{title}, {words}: {_counted(outcomes)}; {len(unknown)} differ, "
            f"{len(known)} differ as listed; {report.get('apps', 0)} apps, "
            f"{report.get('traces', 0)} traces",
            *(f"  {problem}" for problem in problems),
            sep="\n",
            flush=True,
        )


def _counted(outcomes: Outcomes) -> str:
    ended = list(outcomes.values())
    return ", ".join(f"{ended.count(outcome)} {outcome}" for outcome in sorted(set(ended)))


def main(arguments: t.Sequence[str]) -> int:
    """Compare all that *arguments* name; the exit code."""
    cut = arguments.index("--") if "--" in arguments else len(arguments)
    flasks, selection = arguments[:cut], arguments[cut + 1 :]
    if not flasks:
        print(__doc__)
        return 2
    tally = Tally()
    for flask in flasks:
        with tempfile.TemporaryDirectory(prefix="flask-suite-") as folder:
            try:
                compare(Suite(flask, Path(folder), selection), flask, tally)
            except SuiteError as error:
                tally.failed += 1
                print(f"flask {flask}: could not be run\n{error}")
    for name in () if selection else sorted(KNOWN.keys() - tally.met):
        tally.failed += 1
        print(f"{name}: is listed in differences.py and did not differ")
    print(f"{tally.passed} passed, {tally.failed} failed")
    return 1 if tally.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
