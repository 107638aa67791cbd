"""Which numbers of the prose are held by a value that the chapter computes, and which by nothing but the author."""

from . import read

# A number of one digit agrees with something on every page, so its value must be nearby; one of four digits is rare.
BEFORE, AFTER = 4, 2  # cells


def source(number, sections, settings, computed, recorded):
    """Where a number comes from: "near", a "setting" of the code, its "section", the "chapter", a "record", or None."""
    near = range(max(0, number.cell - BEFORE), min(len(computed), number.cell + AFTER + 1))
    if any(number.agrees(value) for cell in near for value in computed[cell]):
        return "near"
    if any(number.agrees(value) for value in settings):
        return "setting"
    if number.digits >= 3 and any(
        number.agrees(value) for cell, here in enumerate(computed) if sections[cell] == number.section for value in here
    ):
        return "section"
    if number.digits >= 4 and any(number.agrees(value) for here in computed for value in here):
        return "chapter"
    if number.digits >= 3 and any(number.agrees(value) for value in recorded):
        return "record"
    return None


def compare(cells, chapter):
    """[(number, where it comes from or None)] for every number of a chapter's prose."""
    settings, computed, recorded = read.values(cells)
    sections = [section for section, _, _ in read.sections(cells)]
    return [(number, source(number, sections, settings, computed, recorded)) for number in read.quoted(cells, chapter)]
