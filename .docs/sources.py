"""The sources as pages of the site, with numbered lines, and the links to them."""

import html
import posixpath
from pathlib import Path

from docutils import nodes
from library import Library
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_for_filename
from pygments.lexers.special import TextLexer
from pygments.util import ClassNotFound
from sphinx import addnodes

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{name} - dgm_jax</title>
<link rel="stylesheet" href="{up}_static/pygments.css">
<link rel="stylesheet" href="{up}_static/style.css">
</head><body class="file"><p><a href="{up}index.html">dgm_jax</a> / {back}</p>
{code}</body></html>
"""


def link_to_sources(app, root: Path) -> None:
    """'flows.maf' in place of 'dgm_jax.flows.maf' before a signature, and a link behind it."""
    things = Library(root / "dgm_jax").public.values()
    places = {t.path: (t.module.file.relative_to(root), t.node.lineno) for t in things}

    def link(app, tree):
        up = "../" * app.env.current_document.docname.count("/")
        for signature in tree.findall(addnodes.desc_signature):
            for prefix in signature.findall(addnodes.desc_addname):
                shown = prefix.astext().removeprefix("dgm_jax.")
                prefix.replace_self(addnodes.desc_addname(shown, shown))
            path = f"{signature['module']}.{signature['fullname']}"
            if path in places:
                file, line = places[path]
                target = f"{up}files/{file}.html#L-{line}"
                signature += nodes.reference("", "source", refuri=target, classes=["source"])

    app.connect("doctree-read", link)


def write_sources(root: Path, site: Path, linked: list[str]) -> None:
    """Pages of all files of the library, which link back to the reference, and of others."""
    library = Library(root / "dgm_jax")
    back = {str(m.file.relative_to(root)): m.page for m in library.modules.values()}
    for name in sorted({*back, *linked}):
        up = "../" * (name.count("/") + 1)
        shown = html.escape(name)
        if name in back:
            shown = f'<a href="{up}{back[name]}.html">{shown}</a>'
        file = site / "files" / f"{name}.html"
        file.parent.mkdir(parents=True, exist_ok=True)
        code = highlighted((root / name).read_text(encoding="utf-8"), posixpath.basename(name))
        file.write_text(PAGE.format(name=html.escape(name), up=up, back=shown, code=code), "utf-8")


def highlighted(code: str, name: str) -> str:
    try:
        lexer = get_lexer_for_filename(name)
    except ClassNotFound:
        lexer = TextLexer()
    formatter = HtmlFormatter(linenos="inline", lineanchors="L", anchorlinenos=True)
    return highlight(code, lexer, formatter)
