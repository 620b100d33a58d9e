"""The pages of the API reference, in reStructuredText and Markdown: none is written by hand.

The start page and the guide are the sections of README.md and the records of results. The others
are the docstrings: a page for each file of the library, with the names that users call, and one for
each package.
"""

import ast
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from library import Library, Module, Thing, Types, arguments, fields, members
from plain import inline, text

ON_THE_START_PAGE = ("Two commands", "Quick start")
RECORDS = ("experiments/RESULTS.md", "benchmarks/RESULTS.md")


def write(root: Path, folder: Path) -> list[str]:
    """Writes all pages for a repository into a folder; returns the files they link to.

    A name in a docstring that looks like one of the library and is not raises a ValueError.
    """
    library = Library(root / "dgm_jax")
    modules = [module for module in library.modules.values() if module.name != library.name]
    pages = {f"{module.page}.rst": page(library, module) for module in modules}
    readme = Readme(root, library)
    pages |= readme.pages()
    if library.broken:
        raise ValueError("\n".join(dict.fromkeys(library.broken)))
    for name, content in pages.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content, encoding="utf-8")
    for image in readme.images:
        (folder / image).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / image, folder / image)
    return sorted(readme.files)


def page(library: Library, module: Module) -> str:
    """A module: its docstring, what it holds in one line each, and all of it."""
    title = module.name.partition(".")[2]
    lines = [title, "=" * len(title), "", *text(module.doc, library.context(module)), ""]
    if module.is_package:
        lines += [*_of_package(library, module)]
    things = library.things(module)
    if len(things) > 1:
        lines += [*_summary(library, things)]
    for thing in things:
        lines += ["", f".. py:currentmodule:: {thing.path.rpartition('.')[0]}", ""]
        lines += [*_described(library, thing)]
    return "\n".join(lines) + "\n"


def _of_package(library, module):
    """The modules of a package: first those whose names users call, then those behind them."""
    every = library.children(module)
    behind = [m for m in every if not m.is_package and not _called(library, m, module)]
    for title, modules in (("", [m for m in every if m not in behind]), ("Behind these", behind)):
        if not modules:
            continue
        if title:
            yield from ("", title, "-" * len(title), "")
        for inner in modules:
            first = inline(_first_line(inner.doc), library.context(inner))
            yield from ("", f":doc:`{inner.name.rpartition('.')[2]} </{inner.page}>`: {first}", "")
            if not title:
                yield from _summary(library, library.things(inner))
        yield from ("", ".. toctree::", "   :hidden:", "")
        yield from (f"   {m.name.rpartition('.')[2]} </{m.page}>" for m in modules)
        yield ""


def _called(library, module, package):
    """Whether users call something of a module by the name of the package, or of one above it."""
    paths = [thing.path.rpartition(".")[0] for thing in library.things(module)]
    return any(package.name == path or package.name.startswith(f"{path}.") for path in paths)


def _summary(library, things):
    """One line each: the name, and the first line of the docstring."""
    if not things:
        return
    yield from ("", ".. list-table::", "   :class: summary", "   :widths: auto", "")
    for thing in things:
        yield f"   * - :py:obj:`{thing.name} <{thing.path}>`"
        line = _first_line(thing.doc) or f"`{_value(thing.node)}`"
        yield f"     - \\ {inline(line, library.context(thing))}"
    yield ""


def _first_line(doc):
    """The first sentence or formula, which is the first line."""
    return doc.partition("\n\n")[0].partition("\n")[0]


def _described(library: Library, thing: Thing) -> Iterator[str]:
    node, context = thing.node, library.context(thing)
    types = Types(library, thing.module)
    if isinstance(node, ast.FunctionDef):
        yield f".. py:function:: {thing.name}{types.signature(node)}"
    elif isinstance(node, ast.ClassDef):
        made = [n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"]
        taken = types.signature(made[0]).rpartition(" -> ")[0] if made else ""
        yield f".. py:class:: {thing.name}{taken}"
    elif thing.name.isupper():
        yield f".. py:data:: {thing.name}"
        yield f"   :value: {_value(node)}"
    else:
        yield f".. py:type:: {thing.name}"
        yield f"   :canonical: {types.shown(node.value)}"
    yield from ("", *_inside(text(thing.doc, context)))
    if isinstance(node, ast.ClassDef):
        yield from _inside(_fields(thing))
        for member in members(thing):
            yield from _inside(_member(library, thing, member))


def _value(node):
    """The value of a constant or a type, or the keys of a long one."""
    value = ast.unparse(node.value)
    if len(value) > 100 and isinstance(node.value, ast.Dict):
        keys = [ast.unparse(key) for key in node.value.keys if key]
        value = f"{{{': ..., '.join([*keys, '...'])}}}"
    return value if len(value) < 400 else "..."


def _inside(lines):
    return [f"   {line}".rstrip(" ") for line in lines]


def _fields(thing):
    """The fields of a NamedTuple or dataclass as the source has them, with their comments."""
    own = fields(thing.node)
    if own:
        rows = thing.module.source.split("\n")[own[0].lineno - 1 : own[-1].end_lineno]
        yield from ("", ".. code-block:: python", "")
        yield from (f"   {row[own[0].col_offset :]}" for row in rows)
        yield ""


def _member(library, thing, node):
    decorated = {ast.unparse(decorator) for decorator in node.decorator_list}
    types = Types(library, thing.module)
    context = library.context(thing)._replace(arguments=frozenset(arguments(node)), width=92)
    yield ""
    if decorated & {"property", "functools.cached_property", "cached_property"}:
        yield f".. py:property:: {node.name}"
        if node.returns:
            yield f"   :type: {types.shown(node.returns)}"
    else:
        yield f".. py:method:: {node.name}{types.signature(node)}"
        for kind in decorated & {"classmethod", "staticmethod"}:
            yield f"   :{kind}:"
    yield from ("", *_inside(text(ast.get_docstring(node), context)), "")


class Readme:
    """README.md as pages of Markdown, one for each of its sections, and the records it links to.

    files: what else they link to; images: what they show.
    """

    def __init__(self, root: Path, library: Library):
        self.root, self.library = root, library
        self.files: set[str] = set()
        self.images: set[str] = set()
        head, *sections = re.split(r"^## ", (root / "README.md").read_text("utf-8"), flags=re.M)
        self.head = self._linked(head)
        self.records = {name: (root / name).read_text("utf-8") for name in RECORDS}
        for name, record in self.records.items():
            shown = re.findall(r"\]\(([^)\s]+\.png)\)", record)
            self.images |= {f"{name.rpartition('/')[0]}/{image}" for image in shown}
        self.sections = {}
        for section in sections:
            title, _, content = section.partition("\n")
            self.sections[title] = self._linked(content)

    def pages(self) -> dict[str, str]:
        start = {title: self.sections[title] for title in ON_THE_START_PAGE}
        guide = {_slug(t): (t, c) for t, c in self.sections.items() if t not in ON_THE_START_PAGE}
        index = [self.head, *self._contents([*guide, *RECORDS])]
        index += [f"## {title}\n{content}" for title, content in start.items()]
        pages = {f"{slug}.md": f"# {title}\n{content}" for slug, (title, content) in guide.items()}
        return pages | self.records | {"index.md": "\n".join(index)}

    def _contents(self, guide):
        """A table of all packages by their docstrings, and what the side of a page shows."""
        modules = [self.library.modules[name] for name in self.library.contents]
        yield "```{eval-rst}\n.. list-table::\n   :class: summary\n   :widths: auto\n"
        for module in modules:
            yield f"   * - :doc:`{module.name.partition('.')[2]} </{module.page}>`"
            yield f"     - \\ {inline(_first_line(module.doc), self.library.context(module))}"
        yield "```\n"
        yield from ("```{toctree}\n:hidden:\n:caption: Guide\n", *guide, "```")
        pages = [module.page for module in modules]
        yield from ("```{toctree}\n:hidden:\n:caption: Reference\n", *pages, "```\n")

    def _linked(self, markdown):
        return re.sub(r"(!?)\[([^\]]*)\]\((?!http)([^)]*)\)", self._link, markdown)

    def _link(self, found):
        image, label, target = found.groups()
        if image:
            self.images.add(target)
            return found[0]
        if target.partition("#")[0] in RECORDS:
            return found[0]
        module = target.removesuffix(".py").replace("/", ".")
        if module not in self.library.modules:
            script = target.replace(".ipynb", ".py")  # which a notebook is made from
            self.files.add(script)
            label = re.sub(r"`(.*)`", r"<code>\1</code>", label)
            return f'<a href="files/{script}.html">{label}</a>'
        name = label.strip("`")
        path = self.library.find(name, self.library.modules[self.library.name])
        in_it = [thing.path for thing in self.library.things(self.library.modules[module])]
        if path in in_it:
            return f"{{py:obj}}`{name} <{path}>`"
        return f"{{doc}}`{name} </{self.library.modules[module].page}>`"


def _slug(title):
    return re.sub(r"\W+", "-", title.lower()).strip("-")
