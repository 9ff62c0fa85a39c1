"""Drawing a document: with rich in a terminal, as Markdown-like text, or the report as JSON."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import sys
import typing as t

import click

from .lines import in_ascii, markdown_lines, terminal_lines
from .text import ascii_only

if t.TYPE_CHECKING:
    from rich.text import Text

    from .document import Cell, Document

Format = t.Literal["table", "md", "json"]
FORMATS: t.Final[tuple[str, ...]] = t.get_args(Format)
WIDTH: t.Final = 100
"""Cells of a line where the terminal doesn't say."""
CUT: t.Final = "…"
ASCII_CUT: t.Final = "~"
"""One cell as well, since it replaces a cut that was fitted already."""

_RICH_STYLES: t.Final[t.Mapping[str, str]] = {
    "strong": "bold", "dim": "dim", "error": "bold red", "warning": "yellow", "note": "cyan",
    "sound": "green", "plumbing": "bright_black", "hooks": "blue", "view": "green",
    "template": "cyan", "session": "magenta", "stream": "yellow", "resource": "bright_blue",
}  # fmt: skip


class Console:
    """Where answers go: one per command.

    :param wanted: the format asked for; None chooses by what standard output is.
    :param ascii_signs: write ASCII only; None where the stream can't do UTF-8.
    :param err: write to standard error.
    """

    def __init__(
        self,
        wanted: Format | None = None,
        *,
        ascii_signs: bool | None = None,
        err: bool = False,
    ) -> None:
        self._err = err
        stream = sys.stderr if err else sys.stdout
        self.terminal = _is_terminal(stream)
        self.colour = self.terminal and not os.environ.get("NO_COLOR")  # https://no-color.org
        self.format: Format = wanted or ("table" if self.terminal and _has_rich() else "md")
        self.ascii = not _does_utf8(stream) if ascii_signs is None else ascii_signs
        # A pipe has no width: what reads it wants whole texts. A table asked for has one.
        fits = self.terminal or self.format == "table"
        self.width = shutil.get_terminal_size((WIDTH, 24)).columns if fits else None

    def answer(self, report: t.Mapping[str, t.Any], document: t.Callable[[], Document]) -> None:
        """Print *report* as JSON where that was asked for, else the *document* made of it."""
        if self.format == "json":
            self.json(report)
        else:
            self.draw(document())

    def json(self, report: object, *, one_line: bool = False) -> None:
        """Print plain data as JSON. ASCII, so that no control character reaches a terminal.

        *one_line* is for a flow of answers, one a line.
        """
        self.write(json.dumps(report, indent=None if one_line else 2))

    def draw(self, document: Document) -> None:
        """Print a document in the console's format."""
        if self.ascii:
            document = [in_ascii(block) for block in document]
        if self.format == "table" and _has_rich():
            self._draw_table(document)
        else:
            for line in markdown_lines(document, self.width):
                self.write(self._in_charset(line))

    def _draw_table(self, document: Document) -> None:
        from rich.console import Console as RichConsole

        # Captured and then written by click: rich ends the process itself on a broken pipe.
        width = self.width or WIDTH
        rich = RichConsole(
            width=width, force_terminal=self.colour, color_system="auto" if self.colour else None
        )
        for line in terminal_lines(document, width):
            with rich.capture() as captured:
                rich.print(_rich_text(line, self._in_charset), soft_wrap=True)
            self.write(captured.get(), end="")

    def _in_charset(self, text: str) -> str:
        # What the fitting itself put in: cuts and rules, each as wide as its stand-in.
        return ascii_only(text.replace(CUT, ASCII_CUT)) if self.ascii else text

    def write(self, text: str, *, end: str = "\n") -> None:
        """Print *text*, which must be clean, as it is."""
        click.echo(text + end, nl=False, color=self.colour, err=self._err)

    def aside(self, document: Document) -> None:
        """Print to standard error, beside the answer."""
        Console(ascii_signs=self.ascii, err=True).draw(document)

    def clear(self) -> None:
        """Empty the screen of a terminal; elsewhere write an empty line."""
        if self.terminal:
            click.clear()
        else:
            self.write("")


def _has_rich() -> bool:
    return importlib.util.find_spec("rich") is not None


def _is_terminal(stream: t.TextIO) -> bool:
    try:
        return stream.isatty()
    except ValueError:  # closed
        return False


def _does_utf8(stream: t.TextIO) -> bool:
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return encoding.lower().replace("-", "").replace("_", "") in {"utf8", "utf8sig"}


def _rich_text(line: Cell, in_charset: t.Callable[[str], str]) -> Text:
    from rich.text import Text

    # A Text is never read as markup, so a path like "[bold]" stays what it is.
    text = Text(no_wrap=True, end="\n")
    for span in line:
        text.append(in_charset(span.text), _RICH_STYLES.get(span.style, ""))
    return text
