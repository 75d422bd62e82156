"""Declarations of hls4ml's headers and its top function, on the parser of `hls4ml_cpp`."""

from __future__ import annotations

from pathlib import Path

from rheinfall.quantized.hls4ml_cpp import (
    Array,
    Declarations,
    Expression,
    Function,
    LayerCall,
    Name,
    Parser,
    Struct,
    Variable,
)
from rheinfall.quantized.hls4ml_tokens import read_text, tokenize

UNREADABLE = Name("struct", None, 0)  # the type of a struct of weights: an error where it is used


def read_declarations(path: Path, into: Declarations) -> None:
    """Read one header or source into `into`.

    Raises:
        ModelError: file, line and what was expected.
    """
    parser = _Declarations(tokenize(read_text(path), str(path)), into)
    while parser.token.kind != "end":
        parser.declaration()


class _Declarations(Parser):
    def declaration(self) -> None:
        """One declaration at the level of a file or namespace."""
        if self.skip(";"):
            return
        if self.at("namespace"):
            self.take()
            while not self.at("{"):
                self.take() if self.token.kind == "name" else self.expect("::")
            self.take()
            self.depth += 1
            if self.depth > 16:
                raise self.error("too many namespaces in each other")
            while not self.skip("}"):
                if self.token.kind == "end":
                    raise self.error("expected '}' at the end of the namespace")
                self.declaration()
            self.depth -= 1
        elif self.at("using"):
            self.take()
            if self.at("namespace"):
                self._skip_to_semicolon()
            else:
                name = self.identifier()
                self.expect("=")
                self.into.types[name] = self.name()
                self.expect(";")
        elif self.at("typedef"):
            name, type_ = self.type_definition()
            self.into.types[name] = type_
        elif self.at("struct"):
            self.struct()
        elif self.at("template", "enum", "class", "extern"):
            self._skip_definition()
        else:
            self.variable_or_function()

    def _skip_to_semicolon(self) -> None:
        while not self.skip(";"):
            if self.token.kind == "end":
                raise self.error("expected ';'")
            self.take()

    def _skip_definition(self) -> None:
        """Skips what says nothing about the network: to a ';' or over a body in braces."""
        while not self.at("{"):
            if self.skip(";"):
                return
            if self.token.kind == "end":
                raise self.error("expected ';' or '{'")
            self.take()
        self.balanced("{", "}")

    def type_definition(self) -> tuple[str, Expression]:
        """`typedef type name;`"""
        self.expect("typedef")
        if self.skip("struct"):
            if not self.at("{"):
                self.identifier()
            self.balanced("{", "}")
            name = self.identifier()
            self.expect(";")
            return name, UNREADABLE
        type_ = self.name()
        name = self.identifier()
        self.expect(";")
        return name, type_

    def struct(self) -> None:
        """`struct name : base { members };`"""
        line = self.expect("struct").line
        struct = Struct(self.identifier(), line, self.source.file)
        if self.skip(":"):
            self.skip("public")
            struct.base = self.name().last
        if self.skip(";"):
            return
        self.expect("{")
        while not self.skip("}"):
            self.member(struct)
        self.expect(";")
        self.into.structs[struct.name] = struct

    def member(self, struct: Struct) -> None:
        """A constant, a type or an alias of a template."""
        if self.at("typedef"):
            name, type_ = self.type_definition()
            struct.types[name] = type_
            return
        if self.skip("template"):
            self.balanced("<", ">")
        if self.skip("using"):
            name = self.identifier()
            self.expect("=")
            struct.types[name] = self.name()
            self.expect(";")
            return
        if not self.at("static", "const", "constexpr"):
            raise self.error(f"struct {struct.name!r}: expected a constant or a type, got {self.token.text!r}")
        type_ = self.name()
        while self.at("*", "&", "const"):
            self.take()
        name = self.identifier()
        dimensions = self.dimensions()
        struct.constant_types[name] = type_
        if self.skip("="):
            if self.at("{"):
                self.values()
            else:
                struct.constants[name] = self.expression()
        elif not dimensions and self.at("{"):
            self.values()
        self.expect(";")

    def variable_or_function(self) -> None:
        """`type name = value;`, `type name[n] = {values};`, or a function."""
        line = self.token.line
        type_ = self.name()
        while self.at("*", "&", "const"):
            self.take()
        name = self.name()
        if self.at("("):
            self.function(name.last, line)
            return
        dimensions = self.dimensions()
        values: tuple[Expression, ...] | None = None
        if self.skip("="):
            if self.at("{"):
                values = self.values()
            else:
                self._constant(name, self.expression())
        self.expect(";")
        if dimensions:
            array = Array(name.last, type_, dimensions, values, self.source.file, line)
            if values is not None or name.last not in self.into.arrays:
                self.into.arrays[name.last] = array

    def _constant(self, name: Name, value: Expression) -> None:
        owner, _, member = name.text.rpartition("::")
        struct = self.into.structs.get(owner.rpartition("::")[2])
        if struct is not None:
            struct.constants[member] = value
        else:
            self.into.constants[name.last] = value

    def function(self, name: str, line: int) -> None:
        """A prototype, which is skipped, or the top function."""
        self.expect("(")
        parameters: list[Variable] = []
        while not self.skip(")"):
            if parameters:
                self.expect(",")
            parameters.append(self.parameter())
        if self.skip(";"):
            return
        self.expect("{")
        body: list[Variable | LayerCall] = []
        while not self.skip("}"):
            body.append(self.statement())
        self.into.functions.append(Function(name, tuple(parameters), tuple(body), self.source.file, line))

    def parameter(self) -> Variable:
        """`type name[n]` or `hls::stream<type> &name`."""
        line = self.token.line
        type_ = self.name()
        while self.at("*", "&", "const"):
            self.take()
        return Variable(self.identifier(), type_, self.dimensions(), line)

    def statement(self) -> Variable | LayerCall:
        """A variable, `auto& a = b;`, or the call of a layer."""
        line = self.token.line
        if self.at("if", "for", "while", "do", "switch", "return", "{"):
            raise self.error(f"{self.token.text!r}: expected a variable or the call of a layer, nothing else is read")
        name = self.name()
        if self.at("("):
            arguments = self.arguments("(", ")")
            self.expect(";")
            return LayerCall(name, arguments, line, self.source.comments.get(line, ""))
        while self.at("*", "&", "const"):
            self.take()
        variable = self.identifier()
        target: str | None = None
        dimensions = self.dimensions()
        if self.at("("):
            self.balanced("(", ")")  # the name of a stream
        elif self.skip("="):
            target = self.identifier()
        self.expect(";")
        return Variable(variable, name, dimensions, line, target)
