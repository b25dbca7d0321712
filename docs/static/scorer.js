// How the search ranks pages: Sphinx's own numbers, but guides stand before the pages for developers and the changelog.
var Scorer = {
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
  score: ([page, title, anchor, description, score]) => {
    if (/^(accuracy|architecture|changelog|contributing|developers|extending|performance)$/.test(page)) return score - 20;
    if (page === "differences") return score - 5; // it has a word on everything
    return page.includes("/") ? score : score + 1; // a guide before an example or a reference of the same score
  },
};
