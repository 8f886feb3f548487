"""The door to what makes the documentation:

python docs/make.py site         run the tour, build both sites into build/site
python docs/make.py notebooks    write the notebooks from the pages
python docs/make.py outputs      run the tour, and write what its code answers into the pages
"""

from __future__ import annotations

import sys
from dataclasses import replace


def main(what: str) -> None:
    from maker import execute, notebook, pages, site

    if what == "site":
        print(f"open {site.build() / 'index.html'}")
    elif what == "notebooks":
        print("\n".join(map(str, notebook.write_all())) or "the notebooks are up to date")
    elif what == "outputs":
        for page in (page for lang in pages.LANGUAGES for page in pages.tour(lang)):
            found = dict(zip(map(id, page.code), execute.answers(page), strict=True))
            shown: list[pages.Piece] = []
            said = ""
            for piece in page.pieces:
                said = found[id(piece)].text if piece.code else said
                shown.append(replace(piece, text=said) if piece.kind == "output" else piece)
            page.path.write_text(pages.written(replace(page, pieces=tuple(shown))), "utf-8")
            print(f"{page.path.name}: {sum(one.seconds for one in found.values()):.0f} s")
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) == 2 else "")
