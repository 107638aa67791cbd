"""Keep the pages free of foreign scripts and of what makes them hard to use."""

from pathlib import Path

ASSETS = Path(__file__).parent / "assets"


def add_assets(app):
    # Here and not through _static/: Sphinx puts every file of a _static folder into every page.
    app.config.html_static_path.append(str(ASSETS))
    app.add_css_file("book.css")
    app.add_js_file("book.js", loading_method="defer")


def setup(app):
    app.connect("builder-inited", add_assets)
