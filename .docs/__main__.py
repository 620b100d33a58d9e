"""Builds the API reference from the docstrings: python .docs FOLDER

Needs the extra `docs`. Open FOLDER/index.html; it needs no network. The exit code is 1 after any
warning of Sphinx, a name in a docstring that is none of the library, or a link inside the site that
leads nowhere.
"""

import re
import shutil
import sys
import tempfile
from pathlib import Path
from urllib.parse import unquote

from pages import write

HERE = Path(__file__).resolve().parent


def dead_links(site: Path) -> list[str]:
    """'page.html -> target' of each link inside a built site to a file or a place that is not."""
    texts = {file: file.read_text(encoding="utf-8") for file in site.rglob("*.html")}
    named = re.compile(r'\s(?:id|name)="([^"]+)"')
    places = {file: set(named.findall(text)) for file, text in texts.items()}
    dead = []
    for file, text in texts.items():
        for target in sorted(set(re.findall(r'\s(?:href|src)="([^"]+)"', text))):
            if re.match(r"[a-z]+:|//|#$", target):
                continue
            path, _, place = target.partition("#")
            path = unquote(path.partition("?")[0])
            there = (file.parent / path).resolve() if path else file
            if not there.is_file() or place and unquote(place) not in places.get(there, {place}):
                dead.append(f"{file.relative_to(site)} -> {target}")
    return dead


def main(folder: str) -> int:
    try:
        from sphinx.cmd.build import main as sphinx
    except ImportError:
        print("The reference needs the extra docs: pip install -e '.[docs]'", file=sys.stderr)
        return 2
    site = Path(folder).resolve()
    if (site / "objects.inv").exists():
        shutil.rmtree(site)  # an older site, whose pages may have other names
    elif site.exists() and any(site.iterdir()):
        print(f"{site} holds other files; name a new folder.", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as pages:
        try:
            files = write(HERE.parent, Path(pages))
        except ValueError as error:
            print(error, file=sys.stderr)
            return 1
        options = ["-b", "html", "-q", "-E", "-a", "-W", "--keep-going", "-c", str(HERE)]
        failed = sphinx([*options, "-d", f"{pages}/.trees", pages, str(site)])
    if failed:
        return failed
    from sources import write_sources  # which needs the extra too

    write_sources(HERE.parent, site, files)
    dead = dead_links(site)
    print("\n".join(dead) or f"{site}/index.html")
    return bool(dead)


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1]))
