"""A parser of the restricted C++ of hls4ml projects: declarations, structs of constants, calls of layers.

Nothing is compiled or executed. What the grammar does not have is an error that names file and line.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from rheinfall.quantized.errors import ModelError
from rheinfall.quantized.hls4ml_tokens import Source, Token

_QUALIFIERS = frozenset({"static", "const", "constexpr", "inline", "extern", "typename", "register", "volatile"})
_BUILT_IN = frozenset({"unsigned", "signed", "int", "long", "short", "char", "float", "double", "bool", "void", "auto"})
_MAX_DEPTH = 64


@dataclass(frozen=True)
class Name:
    """A name, `nnet::dense` for one, with template arguments or None."""

    text: str
    args: tuple[Expression, ...] | None
    line: int

    @property
    def last(self) -> str:
        """The name without its namespaces."""
        return self.text.rpartition("::")[2]


@dataclass(frozen=True)
class Number:
    """A literal as it is written."""

    text: str
    line: int


@dataclass(frozen=True)
class Operation:
    """An operator or a call, `?` for the conditional, and its operands."""

    operator: str
    operands: tuple[Expression, ...]
    line: int


Expression: TypeAlias = Name | Number | Operation


@dataclass
class Struct:
    """A config: its constants (an expression each), and types and aliases by name."""

    name: str
    line: int
    file: str
    base: str = ""
    constants: dict[str, Expression] = field(default_factory=dict)
    constant_types: dict[str, Expression] = field(default_factory=dict)
    types: dict[str, Expression] = field(default_factory=dict)


@dataclass(frozen=True)
class Array:
    """`type name[dimension][...] = {values}`; values is None where it is only declared."""

    name: str
    type: Expression
    dimensions: tuple[Expression | None, ...]
    values: tuple[Expression, ...] | None
    file: str
    line: int


@dataclass(frozen=True)
class Variable:
    """A variable or parameter of the top function; `target` is what `auto& name = target` refers to."""

    name: str
    type: Expression
    dimensions: tuple[Expression | None, ...]
    line: int
    target: str | None = None


@dataclass(frozen=True)
class LayerCall:
    """`function<template arguments>(arguments);` and the comment after it."""

    function: Name
    arguments: tuple[Expression, ...]
    line: int
    comment: str


@dataclass(frozen=True)
class Function:
    """The top function: parameters, then variables and calls in order."""

    name: str
    parameters: tuple[Variable, ...]
    body: tuple[Variable | LayerCall, ...]
    file: str
    line: int


@dataclass
class Declarations:
    """What the files of a project declare, by name without namespaces."""

    types: dict[str, Expression] = field(default_factory=dict)
    constants: dict[str, Expression] = field(default_factory=dict)
    structs: dict[str, Struct] = field(default_factory=dict)
    arrays: dict[str, Array] = field(default_factory=dict)
    functions: list[Function] = field(default_factory=list)


class Parser:
    """Reads the tokens of one file into `Declarations`."""

    def __init__(self, source: Source, into: Declarations) -> None:
        self.source = source
        self.tokens = source.tokens
        self.position = 0
        self.depth = 0
        self.into = into
        for name, tokens in source.macros.items():
            value = Source(source.file, [*tokens, Token("end", "the end of the macro", tokens[0].line)])
            try:
                into.constants[name] = Parser(value, Declarations()).expression()
            except ModelError:
                continue  # a macro that is no number is an error where it is used

    # -- tokens
    @property
    def token(self) -> Token:
        """The next token."""
        return self.tokens[self.position]

    def error(self, message: str, line: int | None = None) -> ModelError:
        """An error at the next token, or at a line."""
        return self.source.error(self.token.line if line is None else line, message)

    def take(self) -> Token:
        """The next token, taken."""
        token = self.token
        if token.kind != "end":
            self.position += 1
        return token

    def at(self, *texts: str) -> bool:
        """Whether the next token is one of these."""
        return self.token.kind != "text" and self.token.text in texts

    def skip(self, text: str) -> bool:
        """Takes the next token if it is this one."""
        found = self.at(text)
        self.position += found
        return found

    def expect(self, text: str) -> Token:
        """Takes the next token, which must be this one."""
        if not self.at(text):
            raise self.error(f"expected {text!r}, got {self.token.text!r}")
        return self.take()

    def identifier(self) -> str:
        """Takes a name."""
        if self.token.kind != "name":
            raise self.error(f"expected a name, got {self.token.text!r}")
        return self.take().text

    def balanced(self, opening: str, closing: str) -> None:
        """Skips from an opening bracket to its closing one."""
        self.expect(opening)
        depth = 1
        while depth:
            token = self.take()
            if token.kind == "end":
                raise self.error(f"expected {closing!r}")
            depth += (token.text == opening) - (token.text == closing)

    # -- expressions
    def expression(self) -> Expression:
        """`a == b ? c : d` and what binds tighter."""
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise self.error("too deeply nested")
        value = self._binary(("==", "!="), lambda: self._binary(("+", "-"), self._product))
        if self.at("?"):
            line = self.take().line
            then = self.expression()
            self.expect(":")
            value = Operation("?", (value, then, self.expression()), line)
        self.depth -= 1
        return value

    def _binary(self, operators: tuple[str, ...], operand: Callable[[], Expression]) -> Expression:
        value = operand()
        while self.at(*operators):
            token = self.take()
            value = Operation(token.text, (value, operand()), token.line)
        return value

    def _product(self) -> Expression:
        return self._binary(("*", "/", "%"), self._unary)

    def _unary(self) -> Expression:
        if self.at("-", "+"):
            token = self.take()
            self.depth += 1
            if self.depth > _MAX_DEPTH:
                raise self.error("too deeply nested")
            operand = self._unary()
            self.depth -= 1
            return Operation("negate" if token.text == "-" else "plus", (operand,), token.line)
        if self.skip("("):
            value = self.expression()
            self.expect(")")
            return value
        if self.token.kind == "number":
            token = self.take()
            return Number(token.text, token.line)
        if self.token.kind == "text":
            raise self.error("expected a number or a name, got a text")
        name = self.name()
        if self.at("("):
            return Operation(name.last, self.arguments("(", ")"), name.line)
        return name

    def name(self) -> Name:
        """A name with namespaces and template arguments; several words for a built-in type."""
        line = self.token.line
        while self.at(*_QUALIFIERS):
            self.take()
        if self.at(*_BUILT_IN):
            words = [self.take().text]
            while self.at(*_BUILT_IN):
                words.append(self.take().text)
            return Name(" ".join(words), None, line)
        self.skip("::")
        text = self.identifier()
        args: tuple[Expression, ...] | None = None
        while True:
            if self.at("<") and args is None:
                args = self.arguments("<", ">")
            elif self.skip("::"):
                self.skip("template")
                text, args = f"{text}::{self.identifier()}", None
            else:
                return Name(text, args, line)

    def arguments(self, opening: str, closing: str) -> tuple[Expression, ...]:
        """Expressions between brackets, with commas between them."""
        self.expect(opening)
        found: list[Expression] = []
        while not self.skip(closing):
            if found:
                self.expect(",")
                if self.skip(closing):
                    break
            found.append(self.expression())
        return tuple(found)

    def values(self) -> tuple[Expression, ...]:
        """An initializer in braces; nested ones are flattened."""
        self.expect("{")
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise self.error("too deeply nested")
        found: list[Expression] = []
        while not self.skip("}"):
            if self.at("{"):
                found.extend(self.values())
            else:
                found.append(self._plain_number() or self.expression())
            if not self.at("}"):
                self.expect(",")
        self.depth -= 1
        return tuple(found)

    def _plain_number(self) -> Number | None:
        """A number with or without a sign, as weights are; a short cut, since there are many."""
        is_negative = self.token.text == "-"
        place = self.position + is_negative
        if place + 1 >= len(self.tokens) or self.tokens[place].kind != "number":
            return None
        if self.tokens[place + 1].text not in (",", "}"):
            return None
        token = self.tokens[place]
        self.position = place + 1
        return Number(f"-{token.text}" if is_negative else token.text, token.line)

    def dimensions(self) -> tuple[Expression | None, ...]:
        """`[a][b]`, or nothing."""
        found: list[Expression | None] = []
        while self.skip("["):
            found.append(None if self.at("]") else self.expression())
            self.expect("]")
        return tuple(found)
