"""The directive `quoted-numbers`: the numbers of the chapters' sentences that no cell of their chapter computes.

The list is tests/quoted/by_hand.json (config value ddpm_quoted), {chapter: [{number, kind, why}]}. A test holds that it
is complete and has no surplus entry.
"""

import json
from pathlib import Path

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

KINDS = {"computed": "computed by the test from", "cited": "quoted from", "given": "given in the text:"}


class QuotedNumbers(SphinxDirective):
    """For each chapter its numbers, each with its reason."""

    def run(self):
        path = Path(self.env.app.confdir) / self.config.ddpm_quoted
        self.env.note_dependency(str(path))
        found = []
        for chapter, entries in json.loads(path.read_text(encoding="utf8")).items():
            inline, messages = self.parse_inline(f"{{doc}}`/book/{chapter}`")
            listed = nodes.bullet_list()
            for entry in entries:
                words = nodes.paragraph(
                    "", "", nodes.strong("", entry["number"]), nodes.Text(f", {KINDS[entry['kind']]} ")
                )
                as_code = entry["kind"] == "computed"
                words += nodes.literal("", entry["why"]) if as_code else nodes.Text(entry["why"])
                listed += nodes.list_item("", words)
            found += [nodes.paragraph("", "", *inline, *messages), listed]
        return found


def setup(app):
    app.add_config_value("ddpm_quoted", "tests/quoted/by_hand.json", "env")
    app.add_directive("quoted-numbers", QuotedNumbers)
