"""How Sphinx builds the API reference; `python .docs FOLDER` runs it (see __main__.py)."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
from sources import link_to_sources  # noqa: E402

project = html_title = "dgm_jax"
extensions = ["myst_parser"]
nitpicky = True  # a reference that leads nowhere is a warning, and warnings are errors
python_maximum_signature_line_length = 80
toc_object_entries_show_parents = "hide"
highlight_language = "none"

myst_heading_anchors = 6  # links to headings, as the README has them
smartquotes = False  # quotes and dots of programs stay what they are

html_theme = "furo"
html_static_path = [str(HERE / "static")]
html_css_files = ["style.css"]
html_copy_source = html_show_sphinx = html_show_copyright = False
pygments_style = "friendly"


def setup(app):
    link_to_sources(app, HERE.parent)
    app.connect("missing-reference", type_of_another_library)


def type_of_another_library(app, env, node, content):
    """A type in a signature that is none of ours is plain text."""
    return None if node["reftarget"].startswith("dgm_jax.") else content
