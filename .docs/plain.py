"""The plain text of a docstring as reStructuredText.

Docstrings are written to be read as they are, by `help`: paragraphs, formulas in Unicode, names in
backticks, indented blocks, and lines "name: what it is". `text` turns one into the markup of
Sphinx; nothing else in it is markup, so that no character of a formula means anything.
"""

import ast
import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

LABELS = ("Cost", "Costs", "Lecture", "Returns", "Raises", "Metrics", "Example", "Source")


class Context(NamedTuple):
    """What names mean where a docstring stands."""

    arguments: frozenset[str] = frozenset()  # of the function, or the fields of the class
    find: Callable[[str], str | None] = lambda name: None  # the path of what a name means, if any
    width: int = 96  # of a full line


def text(docstring: str, context: Context) -> list[str]:
    """The lines of a docstring, as inspect.getdoc returns it, in reStructuredText."""
    return list(_blocks(docstring.expandtabs().split("\n"), context))


# ------------------------------------------------------------------------------------------ blocks
_BULLET = re.compile(r"- (?=\S)")
_NOTE = re.compile(r"\(\d+\) (?=\S)")
_TERMS = re.compile(r"(\*{0,2}\w+(?:(?:, | and )\*{0,2}\w+)*): (?=\S)")
_LABEL = re.compile(rf"({'|'.join(LABELS)}): (?=\S)")


def _blocks(lines: list[str], context: Context) -> Iterator[str]:
    at = 0
    while at < len(lines):
        line = lines[at]
        if not line.strip():
            at += 1
        elif line.startswith(" "):
            block, at = _while(lines, at, lambda i: lines[i].startswith(" ") or not lines[i])
            yield from _indented_block(block, context)
        elif line.startswith("| "):
            block, at = _while(lines, at, lambda i: lines[i].startswith("|"))
            rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in block]
            yield from _table([rows[0], *rows[2:]], context, headed=True)
        elif _BULLET.match(line):
            block, at = _item(lines, at)
            inside = context._replace(width=context.width - 2)
            yield from _indented(_blocks([line[2:], *block[1:]], inside), "- ", "  ")
        elif _NOTE.match(line):
            block, at = _item(lines, at)
            yield from (_paragraph(block, context), "")
        elif (terms := _terms(line, context)) and not _runs_on(lines, at, context):
            block, at = _item(lines, at)
            yield ", ".join(f"``{name}``" for name in re.split(", | and ", terms))
            # The first line stays as long as it was, for the question where lines are broken.
            content = [line[len(terms) + 2 :].ljust(len(line) - 4), *block[1:]]
            inside = context._replace(width=context.width - 4)
            yield from _indented(_blocks(content, inside), "  ", "  ")
        else:
            begin = at
            block, at = _while(lines, at, lambda i: i == begin or _goes_on(lines, i, context))
            yield from (_paragraph(block, context), "")


def _while(lines, at, condition):
    """The lines from `at` on for which condition(index) is true, and the index after them."""
    end = at
    while end < len(lines) and condition(end):
        end += 1
    return lines[at:end], end


def _item(lines, at):
    """The first line of an item with the indented ones below, which lose their indentation."""
    block, end = _while(lines, at, lambda i: i == at or lines[i].startswith(" "))
    width = min((len(row) - len(row.lstrip()) for row in block[1:]), default=0)
    return [block[0], *(row[width:] for row in block[1:])], end


def _terms(line, context):
    """'hidden, activation' of a line 'hidden, activation: ...' about arguments; else None."""
    found = _TERMS.match(line)
    if found and set(re.split(", | and ", found[1].replace("*", ""))) <= context.arguments:
        return found[1]
    return None


def _goes_on(lines, at, context):
    """Whether a line continues the paragraph of the line before it."""
    line, before = lines[at], lines[at - 1]
    if not line.strip() or line.startswith(" ") or _BULLET.match(line):
        return False
    begins = _NOTE.match(line) or _terms(line, context) or _LABEL.match(line)
    return not (
        _broken(before, line, context) and (begins or before.rstrip().endswith((".", ":", '"')))
    )


def _runs_on(lines, at, context):
    """Whether a line 'name: ...' begins a paragraph, whose next lines are not indented."""
    following = lines[at + 1] if at + 1 < len(lines) else ""
    flush = following.strip() and not following.startswith(" ")
    return flush and not (_terms(following, context) or _broken(lines[at], following, context))


def _broken(before, line, context):
    """Whether the author ended a line although the next word had room."""
    word = re.match(r"\[[^\]]*\]?\S*|\S+", line)
    return len(before) + 1 + len(word[0]) <= context.width


def _paragraph(lines, context):
    joined = " ".join(line.strip() for line in lines)
    label = _LABEL.match(joined)
    if not label:
        return rf"\ {inline(joined, context)}"  # a paragraph, whatever it begins with
    return f"*{label[1]}:* {inline(joined[label.end() :], context)}"


def _indented_block(lines, context):
    """A program in colours, a formula, a table, or else a block as it is."""
    while not lines[-1].strip():
        lines = lines[:-1]
    width = min(len(line) - len(line.lstrip()) for line in lines if line.strip())
    lines = [line[width:] for line in lines]
    language = "python" if is_python("\n".join(lines)) else "text"
    if language == "text" and _is_formula(lines):
        yield from ("", ".. rst-class:: formula", "")
        spaced = (re.sub("  +", "\u2003", line) for line in lines)
        yield from (f"| {inline(line, context)}" for line in spaced)
    elif language == "text" and (rows := _columns(lines)):
        yield from _table(rows, context)
    else:
        yield from ("", f".. code-block:: {language}", "")
        yield from (f"   {line}".rstrip() for line in lines)
    yield ""


def _is_formula(lines):
    """Whether nothing in a block is aligned with anything, so that it may be set as mathematics."""
    plain = len(lines) == 1 or not any(re.match(" |$", line) or "  " in line for line in lines)
    return plain and re.search(r"[=≤≥∝~→←↦]", "".join(lines)) and not "".join(lines).isascii()


def _columns(lines):
    """The rows of a table whose second column begins at one place; else None.

    What is not aligned with any column continues the last cell of the row before.
    """
    rows = []
    for line in lines:
        cells = [(found.start(), found[0]) for found in re.finditer(r"\S+(?: \S+)*", line)]
        if line.startswith(" ") and rows and len(cells) == 1:
            rows[-1][-1] = (rows[-1][-1][0], f"{rows[-1][-1][1]} {cells[0][1]}")
        else:
            rows.append(cells)
    several = len(rows) > 1 or len(rows[0]) > 2
    aligned = several and all(len(row) > 1 and row[1][0] == rows[0][1][0] for row in rows)
    return [[cell for _, cell in row] for row in rows] if aligned else None


def _table(rows, context, headed=False):
    size = max(map(len, rows))
    if all(re.fullmatch(r"\w+(, \w+)*", row[0]) for row in rows):
        named = [[re.sub(r"(\w+)", r"`\1`", row[0]), *row[1:]] for row in rows]
        rows = [*rows[:headed], *named[headed:]]
    yield from ("", ".. list-table::", "   :class: plain", "   :widths: auto")
    if headed:
        yield "   :header-rows: 1"
    yield ""
    for row in rows:
        for column, cell in enumerate([*row, *[""] * (size - len(row))]):
            yield f"   {'  ' if column else '* '}- \\ {inline(cell, context)}"
    yield ""


def is_python(code: str) -> bool:
    """Whether a block is a program, and not a formula or a table, which may parse as one."""
    try:
        parsed = ast.parse(code)
    except SyntaxError:
        return False
    doing = (ast.Assign, ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef)
    calls = [node for node in ast.walk(parsed) if isinstance(node, ast.Call)]
    return code.isascii() and bool(calls) and isinstance(parsed.body[0], (*doing, ast.Expr))


def _indented(lines: Iterable[str], first: str, rest: str) -> Iterator[str]:
    for number, line in enumerate(lines):
        yield f"{rest if number else first}{line}".rstrip()
    yield ""


# ------------------------------------------------------------------------------------------ inline
# Bases of subscripts: one letter, with primes and marks over it, or the name of an operator.
_MARKS = "\u0300-\u036f'′*"
_OPERATOR = r"(?:max|min|argmax|argmin|sup|softmax|std|KL|Var|Cov)(?=_(?:\{|\w\b))"
_BASE = rf"(?<![\w.])(?:{_OPERATOR}|\w+(?=_\{{)|d?[^\W\d_]|[Σ∏∫∇Π∂])[{_MARKS}]*|[)\]‖]"
_LOW = r"\{[^{}]*\}|[θφ],\w|[<>≤≥]=?\w+|[^\W_ᵀ¹²³ᵏⁿ]+[′']*|\(\d\)\w*|[*#]"
_HIGH = r"\{[^{}]*\}|(?:min|max)?\([^()]*\)|-?½|[^\W\d_]+_\w+|[-±]?[^\W_]+[′']*"
_SUBSCRIPTS = str.maketrans("0123456789aeijklmnoprstuvx", "₀₁₂₃₄₅₆₇₈₉ₐₑᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ")
_PIECES = re.compile(
    rf"""
    `(?P<code>[^`]+)`
  | (?P<path>(?<![\w.])dgm_jax(?:\.\w+)+)
  | (?<![\w\[*(,])\*(?P<emphasis>\w(?:[^*\[\]]*\w)?)\*(?![\w*\]])
  | (?P<base>{_BASE})_(?P<low>{_LOW})(?:\^(?P<high>{_HIGH}))?(?!\w*_)
  | \^(?P<power>{_HIGH})
  | (?P<names>(?<![\w.`*])\w+(?:(?:,\ |\ and\ )\w+)*)(?=:(?:\s|$))
  | (?P<list>(?<![\w.`*"])\w+(?:(?:,\ |,?\ and\ )\w+)+)(?![\w`(])
  | (?P<name>(?:(?<=\.\.)|(?<![\w.`*"]))[A-Za-z]\w*_\w*\w(?:\((?:[^()]|\([^()]*\))*\))?)(?![\w`"])
    """,
    re.VERBOSE,
)


def inline(prose: str, context: Context) -> str:
    """One paragraph: names in backticks become links, x_i and K^d get real indices and powers."""
    out, at = [], 0
    while found := _PIECES.search(prose, at):
        made, end = _markup(found, context), found.end()
        if made is None:  # of a list of names, the first; it goes on behind it
            name = re.split("[, :]", found[0])[0]
            made, end = _name(name) if "_" in name else name, found.start() + len(name)
        out += [escaped(prose[at : found.start()]), made]
        at = end
    return "".join([*out, escaped(prose[at:])]).removeprefix(r"\ ").removesuffix(r"\ ")


def _markup(found, context):
    kind = found.lastgroup if found["base"] is None else "base"
    if kind == "code":
        return link(found["code"], context)
    if kind == "path":
        return link(found[0], context)
    if kind == "emphasis":
        return rf"\ *{escaped(found['emphasis'])}*\ "
    if kind == "base":
        if found[0] in context.arguments and len(found["low"]) > 1:
            return _name(found[0])
        high = _script("sup", found["high"]) if found["high"] else ""
        return escaped(found["base"]) + _script("sub", found["low"]) + high
    if kind == "power":
        return _script("sup", found["power"])
    if kind == "name":
        return _name(found[0])
    names = re.split("(, |,? and )", found[0])
    if not set(names[::2]) <= context.arguments:
        return None
    return "".join(name if i % 2 else _name(name) for i, name in enumerate(names))


def _name(name):
    return rf"\ ``{name}``\ "


def _script(role, content):
    """An index or a power. One inside of it is a letter of Unicode, since markup does not nest."""
    content = content.removeprefix("{").removesuffix("}") if content[0] == "{" else content
    content = re.sub(r"(?<=\w)_(\w)(?!\w)", lambda found: found[1].translate(_SUBSCRIPTS), content)
    return rf"\ :{role}:`{escaped(content)}`\ "


def link(code: str, context: Context) -> str:
    """What stands in backticks: a link if it names something of the library, else code."""
    target = context.find(code)
    if target is None:
        return _name(code.strip())
    role = "doc" if target.startswith("/") else "py:obj"  # the page of a module, or a name
    return rf"\ :{role}:`{escaped(code)} <{target}>`\ "


def escaped(prose: str) -> str:
    return re.sub(r"([\\`*_|<>])", r"\\\1", prose.replace("->", "→"))
