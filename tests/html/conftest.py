"""A built page in a tab of its own, at any width."""

import pytest
from built import READY, SITE
from stands import PATIENCE, Served

pytest.register_assert_rewrite("visits")  # its failures tell the values, as those of tests do


@pytest.fixture(scope="session")
def server():
    """The site over loopback http: what a reader of the published book sees."""
    assert (SITE / "index.html").is_file(), "there is no built book: run `make book` first"
    served = Served(SITE)
    yield served.origin
    served.close()


@pytest.fixture(scope="module")
def open_page(browser):
    """`open_page("book/03_posterior", 390)` gives the page when its fonts are there and its equations fitted."""
    contexts = []

    def open_document(document, width=1280):
        contexts.append(browser.new_context(viewport={"width": width, "height": 900}))
        contexts[-1].set_default_timeout(PATIENCE)
        page = contexts[-1].new_page()
        page.goto((SITE / f"{document}.html").as_uri())
        page.wait_for_function(READY)
        return page

    yield open_document
    for context in contexts:
        context.close()
