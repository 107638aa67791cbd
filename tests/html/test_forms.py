"""The PDF and the EPUB, made of three built pages: what a reader of them would miss or stumble over."""

import re
import subprocess
import sys
import xml.etree.ElementTree as ET
import zipfile

import epub
import forms
import pdf
import pytest
from bs4 import BeautifulSoup
from pypdf import PdfReader

from ddpm_lite.viz.palette import PALETTE

pytestmark = pytest.mark.html
SOME = ["07_attention", "errata", "references"]
X, OPF = "{http://www.w3.org/1999/xhtml}", "{http://www.idpf.org/2007/opf}"
MATH = "{http://www.w3.org/1998/Math/MathML}"


@pytest.fixture(scope="module")
def chapters():
    """The chapters as the forms take them."""
    return forms.read_chapters(names=SOME)


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    path = tmp_path_factory.mktemp("epub") / "some.epub"
    epub.make(path, SOME)
    with zipfile.ZipFile(path) as opened:
        yield opened


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    """What the command writes, in a process of its own, because the tests' browser is open in this one."""
    path = tmp_path_factory.mktemp("pdf") / "some.pdf"
    command = [sys.executable, pdf.__file__, "--only", *SOME, "--out", path]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stderr == ""  # nothing is wider than its column
    return PdfReader(path)


def test_nothing_dead_is_left_and_solutions_come_last(chapters):
    article = chapters[0].article
    assert article.select("button, input, select, details, summary, script, .headerlink, .tag_check") == []
    exercises, solutions = article.select(".exercise"), article.select(".solution")
    assert len(exercises) >= 3
    assert all(solution.find_parent(id="solutions") for solution in solutions)
    assert all(not exercise.find_parent(id="solutions") for exercise in exercises)
    assert {link["href"][1:] for link in article.select(".to-solution a")} == {tag["id"] for tag in solutions}
    assert article.section.find_all("section", recursive=False)[-1]["id"] == "solutions"


def test_what_a_folded_cell_printed_is_in_the_forms_without_its_code():
    (chapter,) = forms.read_chapters(names=["11_fewer_steps"])
    page = BeautifulSoup((forms.SITE / "book/11_fewer_steps.html").read_text("utf8"), "html.parser")
    (folded,) = page.select(".cell details.hide:has(.cell_output)")
    code, printed = (folded.select_one(f".cell_{part} pre").get_text() for part in ("input", "output"))
    text = chapter.article.get_text()
    assert printed in text
    assert code not in text


def test_nothing_is_chosen_on_the_first_page_and_each_typo_has_its_name():
    (first,) = forms.read_chapters(names=["intro"])
    assert first.article.select("fieldset, label, .front-press") == []
    panels = first.article.select(".front-panel")
    assert len(panels) == 6
    names = [panel.p.get_text() for panel in panels]
    assert len(set(names)) == 6
    assert all(len(name) > 10 for name in names)


def test_what_needs_a_screen_stays_on_the_pages():
    pages = {document.rpartition("/")[2]: part for part, document in forms.list_pages()}
    assert {"intro", "01_images_and_gaussians", "glossary", "checks", "references"} <= set(pages)
    assert not {"api", "progress"} & set(pages)
    assert pages["01_images_and_gaussians"] == "From images to noise"


def test_epub_begins_with_its_kind_and_lists_every_file(archive):
    first = archive.infolist()[0]
    assert (first.filename, first.compress_type) == ("mimetype", zipfile.ZIP_STORED)
    assert archive.read("mimetype") == b"application/epub+zip"
    package = ET.fromstring(archive.read("EPUB/book.opf"))
    listed = {item.get("href"): item for item in package.iter(f"{OPF}item")}
    assert {f"EPUB/{name}" for name in listed} | {"EPUB/book.opf"} == {
        name for name in archive.namelist() if name.startswith("EPUB/")
    }
    assert {item.get("properties") for item in listed.values()} >= {"nav", "cover-image"}
    assert listed["07_attention.xhtml"].get("properties").startswith("mathml")
    ids = {item.get("id") for item in listed.values()}
    assert [ref.get("idref") in ids for ref in package.iter(f"{OPF}itemref")] == [True] * (len(SOME) + 2)


def test_epub_is_xml_with_mathml_and_links_that_lead_somewhere(archive):
    pages = {name: ET.fromstring(archive.read(name)) for name in archive.namelist() if name.endswith(".xhtml")}
    ids = {name.rpartition("/")[2]: {tag.get("id") for tag in page.iter()} for name, page in pages.items()}
    for name, page in pages.items():
        here = name.rpartition("/")[2]
        assert not list(page.iter(f"{X}script"))
        for tag in page.iter():
            assert not re.match("https?:", tag.get("src") or "")
        for link in page.iter(f"{X}a"):
            file, _, anchor = link.get("href", here).partition("#")
            if not re.match("[a-z]+:", file):
                assert not anchor or anchor in ids[file or here], link.get("href")
        assert all(image.get("alt") for image in page.iter(f"{X}img"))
    formulas = list(pages["EPUB/07_attention.xhtml"].iter(f"{MATH}math"))
    assert len(formulas) > 50
    assert all(formula.get("alttext") for formula in formulas)
    words = "".join(pages["EPUB/07_attention.xhtml"].itertext())
    assert "(7.1)" in words
    assert "\\frac" not in words


def test_drawings_of_the_epub_have_colours_and_rules(archive):
    style = archive.read("EPUB/book.css").decode()
    page = archive.read("EPUB/07_attention.xhtml").decode()
    assert "<svg" in page
    assert "var(--" not in style + page  # a chapter's code may call a method of this name
    assert PALETTE["data"].light in page
    drawn = {name for names in re.findall(r'class="([^"]*\bdw-[^"]*)"', page) for name in names.split()}
    assert {name for name in drawn if re.fullmatch(r"dw-(\d|line|grid|dash|dots?|bars|marker|exact)", name)} <= set(
        re.findall(r"\.(dw-\w+)", style)
    )
    assert epub.paint("var(--ddpm-paper, var(--else)) var(--ddpm-paper)") == "#ffffff #ffffff"


def test_pdf_has_outline_numbers_fonts_and_author(reader):
    top = [entry.title for entry in reader.outline if not isinstance(entry, list)]
    assert top == ["7. Attention", "Errata of the note", "References"]
    text = "\n".join(page.extract_text() for page in reader.pages)
    numbers = {int(number) for number in re.findall(r"\(7\.(\d+)\)", text)}
    assert numbers >= set(range(1, max(numbers) + 1))
    assert 10 < len(reader.pages) < 60
    assert reader.metadata.author == "The ddpm-lite authors"
    assert "line by line" in reader.metadata.title
    assert reader.trailer["/Root"]["/Lang"] == forms.LANGUAGE
    for page in reader.pages:
        for font in (page["/Resources"].get("/Font") or {}).values():
            font = font.get_object()
            inner = font["/DescendantFonts"][0].get_object() if "/DescendantFonts" in font else font
            assert font["/Subtype"] == "/Type3" or any(
                key in inner["/FontDescriptor"] for key in ("/FontFile", "/FontFile2", "/FontFile3")
            )


def test_pdf_has_a_letter_for_every_character(reader):
    text = "".join(page.extract_text() for page in reader.pages)
    assert "噪声" in "".join(text.split())
    assert not re.search("[\0\ufffd]", text)


def test_pdf_is_packed_and_says_what_is_what(reader):
    root = reader.trailer["/Root"]
    assert root["/MarkInfo"]["/Marked"]
    assert root["/ViewerPreferences"]["/DisplayDocTitle"]
    assert "/StructTreeRoot" in root
    assert len(reader.xref_objStm) > len(reader.xref[0])  # objects in packs, beside those by themselves


def test_contents_say_where_a_chapter_begins(reader):
    place = reader.get_destination_page_number(reader.named_destinations["/07_attention"]) + 1
    contents = " ".join(reader.pages[1].extract_text().split())
    assert "Exercises" not in contents
    assert re.search(rf"7\. ?Attention {place}\b", contents), contents[:200]


def test_pages_link_to_the_forms_that_are_there(tmp_path):
    page = tmp_path / "book" / "one.html"
    page.parent.mkdir()
    page.write_text('<footer><p class="other-forms" hidden></p></footer>')
    forms.offer(tmp_path)
    assert "<a" not in page.read_text()
    (tmp_path / forms.NAMES["epub"]).write_bytes(b"")
    forms.offer(tmp_path)
    assert 'href="../ddpm-lite.epub"' in page.read_text()
    assert ".pdf" not in page.read_text()
    (tmp_path / forms.NAMES["epub"]).unlink()
    forms.offer(tmp_path)
    assert "<a" not in page.read_text()
