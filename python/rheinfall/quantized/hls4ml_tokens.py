"""The tokens of the C++ that hls4ml writes: enough of a preprocessor for its headers, no more.

A project is read as the synthesis tool sees it (`__SYNTHESIS__` is defined): weights stand in their headers then, and
what serves the emulation alone is gone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from rheinfall.quantized.errors import ModelError

_TOKEN = re.compile(
    r"""(?P<space>[ \t\r\f\v]+|\\\r?\n)
      | (?P<newline>\n)
      | (?P<line_comment>//[^\n]*)
      | (?P<block_comment>/\*.*?\*/)
      | (?P<number>(?:0[xX][0-9a-fA-F]+|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)[uUlLfF]*)
      | (?P<name>[A-Za-z_][A-Za-z_0-9]*)
      | (?P<text>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')
      | (?P<sign>::|==|!=|&&|\|\||[-+*/%&|^~!<>=?:;,.(){}\[\]\#])""",
    re.VERBOSE | re.DOTALL,
)
_MAX_BYTES = 64 << 20


@dataclass(frozen=True)
class Token:
    """One token: its kind is "name", "number", "text", "sign" or "end"."""

    kind: str
    text: str
    line: int


@dataclass
class Source:
    """The tokens of one file, the macros that it defines, and the comment at the end of each line."""

    file: str
    tokens: list[Token] = field(default_factory=list)
    macros: dict[str, list[Token]] = field(default_factory=dict)
    comments: dict[int, str] = field(default_factory=dict)

    def error(self, line: int, message: str) -> ModelError:
        """An error at a line of this file."""
        return ModelError(f"{self.file}:{line}: {message}")


def read_text(path: Path) -> str:
    """The text of a file of a project.

    Raises:
        ModelError: it cannot be read, is too long, or is no text.
    """
    try:
        if path.exists() and not path.is_file():  # a device has no end, a folder no text
            raise ModelError(f"{path}: expected a regular file")
        if path.stat().st_size > _MAX_BYTES:
            raise ModelError(f"{path}: {path.stat().st_size} bytes; expected at most {_MAX_BYTES}")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ModelError(f"{path}: is no text: {error}") from error


def tokenize(text: str, file: str, defined: frozenset[str] = frozenset({"__SYNTHESIS__"})) -> Source:
    """The tokens of a file, after its preprocessor lines; includes and pragmas are left out.

    Raises:
        ModelError: a character or a directive that these files do not have.
    """
    source = Source(file)
    lines = _Lines(source, set(defined))
    position, line = 0, 1
    while position < len(text):
        found = _TOKEN.match(text, position)
        if found is None:
            raise source.error(line, f"unexpected character {text[position]!r}")
        kind, token = str(found.lastgroup), found.group()
        if kind == "newline":
            lines.end()
        elif kind == "line_comment":
            source.comments[line] = token[2:].strip()
        elif kind == "sign" and token == "#" and not lines.current:
            end = _end_of_directive(text, position)
            lines.directive(text[position + 1 : end], line)
            line += text.count("\n", position, end)
            position = end
            continue
        elif kind in ("number", "name", "text", "sign"):
            lines.current.append(Token(kind, token, line))
        line += token.count("\n")
        position = found.end()
    lines.end()
    if lines.open:
        raise source.error(line, "an #if without its #endif")
    source.tokens.append(Token("end", "the end of the file", line))
    return source


def _end_of_directive(text: str, start: int) -> int:
    end = start
    while True:
        end = text.find("\n", end)
        if end < 0:
            return len(text)
        if text[end - 1] != "\\":
            return end
        end += 1


class _Lines:
    """Collects the tokens of the lines that the preprocessor keeps."""

    def __init__(self, source: Source, defined: set[str]) -> None:
        self.source = source
        self.defined = defined
        self.current: list[Token] = []
        self.open: list[tuple[bool, bool]] = []  # per #if: are its lines kept, was any branch kept

    def kept(self) -> bool:
        return all(kept for kept, _ in self.open)

    def end(self) -> None:
        if self.kept():
            self.source.tokens.extend(self.current)
        self.current = []

    def directive(self, text: str, line: int) -> None:
        words = text.split("//")[0].replace("\\\n", " ").split(None, 1)
        name, rest = (words[0] if words else ""), (words[1].strip() if len(words) > 1 else "")
        if name in ("ifdef", "ifndef", "if"):
            kept = self.condition(name, rest, line)
            self.open.append((kept, kept))
        elif name in ("else", "elif"):
            if not self.open:
                raise self.source.error(line, f"an #{name} without its #if")
            _, was_kept = self.open.pop()
            kept = not was_kept and (name == "else" or self.condition("if", rest, line))
            self.open.append((kept, was_kept or kept))
        elif name == "endif":
            if not self.open:
                raise self.source.error(line, "an #endif without its #if")
            self.open.pop()
        elif name == "define" and self.kept():
            self.define(rest, line)
        elif name == "undef" and self.kept():
            self.defined.discard(rest)
        elif name not in ("include", "pragma", "define", "undef", "error", "warning", ""):
            raise self.source.error(line, f"unknown directive #{name}")

    def condition(self, kind: str, rest: str, line: int) -> bool:
        if kind == "ifdef":
            return rest in self.defined
        if kind == "ifndef":
            return rest not in self.defined
        negated, inner = rest.startswith("!"), rest.lstrip("! ").strip()
        if inner in ("0", "1"):
            return (inner == "1") != negated
        if not self.kept():
            return False
        found = re.fullmatch(r"defined\s*\(?\s*(\w+)\s*\)?", inner)
        if found is None:
            raise self.source.error(line, f"#if {rest}: expected 0, 1 or defined(NAME)")
        return (found.group(1) in self.defined) != negated

    def define(self, rest: str, line: int) -> None:
        name = re.match(r"[A-Za-z_]\w*", rest)
        if name is None:
            raise self.source.error(line, "#define without a name")
        self.defined.add(name.group())
        value = rest[name.end() :]
        if value.startswith("(") or not value.strip():
            return  # a macro with arguments, or a guard: nothing to read
        tokens = tokenize(value.strip(), self.source.file, frozenset()).tokens[:-1]
        self.source.macros[name.group()] = [Token(token.kind, token.text, line) for token in tokens]
