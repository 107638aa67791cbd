// On the page of results: what has the name that was typed comes first. search.py put the names into the index.
(() => {
  const plain = (text) => text.toLowerCase().replace(/^(equation|eq\.?)\s*/, "").replace(/[()]/g, " ").replace(/\s+/g, " ").trim();

  // The book spells in the British way.
  const british = (text) =>
    text
      .toLowerCase()
      .replace(/parametri[sz]/g, "parameteris")
      .replace(/([a-z]{3})iz(e|ed|es|er|ing|ation|ations)\b/g, "$1is$2")
      .replace(/\b(col|behavi|neighb)or/g, "$1our")
      .replace(/\bcenter/g, "centre")
      .replace(/\bgray/g, "grey")
      .replace(/\bmodeling/g, "modelling");

  // A page opened as a file may not fetch the pages that it would quote.
  if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;

  const named = (query) => {
    const { places, docnames, filenames, titles } = Search._index, typed = new Set([plain(query), plain(british(query))]);
    const entry = (page, anchor, title, kind) => [docnames[page], title, anchor, kind, 1000, filenames[page]];
    // A page whose title has the words, in their order and whole.
    const words = [...typed].map((text) => ` ${text.replace(/[^\p{L}\p{N}]+/gu, " ").trim()} `);
    const inTitle = titles.flatMap((title, page) => {
      const spelt = ` ${title.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, " ").trim()} `;
      const listed = /^\d+\./.test(title) || Search._index.alltitles[title];
      return listed && words.some((text) => text.trim() && spelt.includes(text)) ? [entry(page, "", title, null)] : [];
    });
    const placed = places
      .filter(([names]) => names.some((name) => typed.has(name) || typed.has(british(name))))
      .map(([, page, anchor, title, kind]) =>
        entry(page, anchor && `#${anchor}`, title ? `${titles[page]} > ${title}` : titles[page], title ? kind : null));
    // Chapters before appendices, and a chapter before a place in it.
    const rank = ([, , anchor, kind]) => (anchor ? (kind === "glossary" ? 1 : 2) : 0);
    return [...inTitle, ...placed].sort((a, b) => rank(a) - rank(b));
  };

  const search = Search._performSearch;
  Search._performSearch = (query, ...terms) => {
    // Sphinx shows the list from its end.
    const found = search(query, ...terms).reverse(), other = british(query);
    if (other !== query.toLowerCase()) found.push(...search(...Search._parseQuery(other)).reverse());
    const seen = new Set();
    return [...named(query), ...found]
      .filter(([page, , anchor]) => !seen.has(page + anchor) && seen.add(page + anchor))
      .reverse();
  };
})();
