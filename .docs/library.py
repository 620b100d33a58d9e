"""What the library holds, read from its sources: nothing is imported, so that it takes a second.

A name is public at the path by which users call it, `flows.maf`, which the `__init__` of a package
says. Modules that no package exports from show all that they hold.
"""

import ast
import inspect
import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from plain import Context

Definition = ast.FunctionDef | ast.ClassDef | ast.Assign | ast.AnnAssign


class Module:
    """One file: what it defines and what it imports from the library."""

    def __init__(self, name: str, file: Path):
        self.name, self.file = name, file
        self.is_package = file.name == "__init__.py"
        self.source = file.read_text(encoding="utf-8")
        self.tree = ast.parse(self.source)
        self.doc = inspect.cleandoc(ast.get_docstring(self.tree) or "")
        self.definitions: dict[str, Definition] = {}
        self.imports: dict[str, tuple[str, str]] = {}  # name here: (module, name there)
        for node in self.tree.body:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                self.definitions[node.name] = node
            elif isinstance(node, (ast.Assign, ast.AnnAssign)):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                names = [target.id for target in targets if isinstance(target, ast.Name)]
                self.definitions |= dict.fromkeys(names, node)
            elif isinstance(node, ast.ImportFrom) and node.level:
                origin = self._origin(node)
                self.imports |= {a.asname or a.name: (origin, a.name) for a in node.names}

    def _origin(self, node):
        steps = self.name.split(".")
        up = node.level - self.is_package
        return ".".join([*steps[: len(steps) - up], *([node.module] if node.module else [])])

    @property
    def page(self) -> str:
        """The name of its page, as flows/maf, or flows/index of a package."""
        path = "/".join(self.name.split(".")[1:])
        return f"{path}/index" if self.is_package and path else path or "index"

    @property
    def package(self) -> str:
        return self.name if self.is_package else self.name.rpartition(".")[0]


class Thing(NamedTuple):
    """A public function, class or value, and the path by which users call it."""

    path: str  # dgm_jax.flows.maf
    module: Module  # that defines it
    node: Definition

    @property
    def name(self) -> str:
        return self.path.rpartition(".")[2]

    @property
    def doc(self) -> str:
        if isinstance(self.node, (ast.FunctionDef, ast.ClassDef)):
            return inspect.cleandoc(ast.get_docstring(self.node) or "")
        line = self.module.source.split("\n")[self.node.end_lineno - 1]
        comment = re.search(r"#\s*(.*)", line[self.node.end_col_offset :])  # behind a value
        return f"{comment[1][0].upper()}{comment[1][1:]}." if comment else ""


class Library:
    """All modules of a package on disk, and what is public in them."""

    def __init__(self, root: Path):
        self.name = root.name
        self.modules: dict[str, Module] = {}
        for file in sorted(root.rglob("*.py")):
            parts = [*file.relative_to(root.parent).with_suffix("").parts]
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            self.modules[name] = Module(name, file)
        self.broken: list[str] = []

    @cached_property
    def contents(self) -> list[str]:
        """The modules of the table of contents, in its order."""
        listed = self.modules[self.name].definitions["__all__"].value
        return [f"{self.name}.{name}" for name in ast.literal_eval(listed)]

    @cached_property
    def public(self) -> dict[tuple[str, str], Thing]:
        """(module, name) of a definition: what it is to users."""
        found: dict[tuple[str, str], Thing] = {}
        for package in sorted(filter(lambda m: m.is_package, self.modules.values()), key=_depth):
            for name in package.imports:
                self._add(found, self.look_up(package.name, name), f"{package.name}.{name}")
        exporting = {module for module, _ in found}
        for module in self.modules.values():
            for name, node in module.definitions.items():
                if name.startswith("_") or module.name == self.name:
                    continue
                is_type = (
                    isinstance(node, ast.Assign) and not name.isupper() and not _variable(node)
                )
                is_code = isinstance(node, (ast.FunctionDef, ast.ClassDef))
                if is_type and name[0].isupper() or is_code and module.name not in exporting:
                    self._add(found, (module.name, name), f"{module.name}.{name}")
        return found

    def _add(self, found, place, path):
        if isinstance(place, tuple) and place not in found:
            module = self.modules[place[0]]
            found[place] = Thing(path, module, module.definitions[place[1]])

    def things(self, module: Module) -> list[Thing]:
        """The public things that a module defines, in its own order."""
        keys = [(module.name, name) for name in module.definitions]
        return [self.public[key] for key in keys if key in self.public]

    def children(self, module: Module) -> list[Module]:
        """The modules and packages right in a package."""
        inside = [m for m in self.modules.values() if m.name.rpartition(".")[0] == module.name]
        return inside if module.is_package else []

    def look_up(self, module: str, name: str) -> str | tuple[str, str] | None:
        """What a name means in a module: a module, or (module, name) of a definition, or None."""
        here = self.modules[module]
        if name in here.definitions:
            return module, name
        if name in here.imports:
            origin, original = here.imports[name]
            if origin in self.modules:
                return self.look_up(origin, original)
        inner = f"{module}.{name}"
        return inner if inner in self.modules else None

    def find(self, code: str, module: Module) -> str | None:
        """The path of what `code` names in a docstring of a module, or /page if it is a module."""
        dotted = re.match(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", code)
        if not dotted or re.match(r"\.\w+$|[^(\s\[]", code[dotted.end() :]):
            return None
        first, *rest = dotted[0].split(".")
        if first == self.name:
            scopes, names = [self.name], rest
        else:
            scopes, names = [module.name, module.package, self.name], [first, *rest]
        for scope in dict.fromkeys(scopes):
            found = self._walk(scope, names)
            if found is not None:
                return found if len(names) > 1 or self._meant(found, module) else None
        of_library = first == self.name or f"{self.name}.{first}" in self.contents
        if of_library and rest and rest[-1] not in ("py", "json", "jsonl"):
            self.broken.append(f"{module.file}: `{code}` names nothing of the library")
        return None

    def _meant(self, path, module):
        """Whether a bare name means this: not a function inside of another module, by chance."""
        owner, _, name = path.rpartition(".")
        public = owner in self.contents or owner not in self.modules
        return public or self.modules[owner].is_package or owner == module.name or name[0].isupper()

    def _walk(self, place, names):
        """The path of what attribute after attribute leads to, from a module on."""
        for at, name in enumerate(names):
            place = self.look_up(place, name)
            if place is None:
                return None
            if isinstance(place, tuple):
                thing = self.public.get(place)
                return thing and self._member(thing, names[at + 1 :])
        return f"/{self.modules[place].page}"

    def _member(self, thing, names):
        inside = {node.name for node in members(thing)}
        return f"{thing.path}.{names[0]}" if names and names[0] in inside else thing.path

    def context(self, thing: Thing | Module) -> Context:
        """How names in the docstring of a thing or a module are understood."""
        if isinstance(thing, Module):
            return Context(find=lambda code: self.find(code, thing), width=100)
        own = arguments(thing.node)
        first = [*own, *(member.name for member in members(thing))]
        hidden = re.compile(rf"({'|'.join(first)})\b") if first else None

        def find(code):
            if hidden and hidden.match(code):
                return None  # its own argument, whatever else has that name
            path = self.find(code, thing.module)
            return None if path == thing.path else path  # no link to where it stands

        return Context(frozenset(own), find)


def _variable(node):
    """Whether an assignment makes a type variable."""
    return ast.unparse(node.value).startswith(("TypeVar(", "ParamSpec("))


def _depth(module):
    return module.name.count("."), module.name


def members(thing: Thing) -> Iterator[ast.FunctionDef]:
    """The public methods and properties of a class that have a docstring of their own."""
    for node in getattr(thing.node, "body", []) if isinstance(thing.node, ast.ClassDef) else []:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            if ast.get_docstring(node):
                yield node


def arguments(node: Definition) -> list[str]:
    """Of a function, or of the class: those of its __init__, or its fields."""
    if isinstance(node, ast.ClassDef):
        made = [n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"]
        named = [f.target.id for f in fields(node) if isinstance(f.target, ast.Name)]
        return named + (arguments(made[0]) if made else [])
    if not isinstance(node, ast.FunctionDef):
        return []
    of = node.args
    every = [*of.posonlyargs, *of.args, of.vararg, *of.kwonlyargs, of.kwarg]
    return [a.arg for a in every if a is not None and a.arg not in ("self", "cls")]


def fields(node: ast.ClassDef) -> list[ast.AnnAssign]:
    return [part for part in node.body if isinstance(part, ast.AnnAssign)]


class Types(ast.NodeTransformer):
    """Types as a module names them, without quotes, and those of the library as links.

    '~dgm_jax.protocol.Flow' is shown as 'Flow' by Sphinx.
    """

    def __init__(self, library: Library, module: Module):
        self.library, self.module = library, module

    def shown(self, annotation: ast.expr) -> str:
        return ast.unparse(self.visit(ast.parse(ast.unparse(annotation), mode="eval").body))

    def signature(self, node: ast.FunctionDef) -> str:
        """'(dim: int, *, hidden: Sequence[int]=(512, 512)) -> ~dgm_jax.protocol.Flow'."""
        copy = ast.parse(ast.unparse(node)).body[0]
        for arg in ast.walk(copy.args):
            if isinstance(arg, ast.arg) and arg.annotation:
                arg.annotation = self.visit(arg.annotation)
        if copy.args.args and copy.args.args[0].arg in ("self", "cls"):
            del copy.args.args[0]
        returns = f" -> {self.shown(node.returns)}" if node.returns else ""
        return f"({ast.unparse(copy.args)}){returns}"

    def visit_Constant(self, node):
        if isinstance(node.value, str):
            return self.visit(ast.parse(node.value, mode="eval").body)
        return node

    def visit_Subscript(self, node):
        if getattr(node.value, "id", "") == "Literal":
            return node  # whose strings are no types
        return self.generic_visit(node)

    def visit_Name(self, node):
        found = self.library.look_up(self.module.name, node.id)
        thing = self.library.public.get(found) if isinstance(found, tuple) else None
        return ast.Name(f"~{thing.path}") if thing else node
