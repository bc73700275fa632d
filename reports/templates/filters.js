"use strict";
// Which cells are shown: one list of boxes for each setting that varies, and words. All parts of the page follow.

const facets = report.facets;
const filterKeys = [...facets.map((facet) => facet.key), "words"];

/** The settings of a cell as lower-case text, to find words in. */
const textOf = new Map(report.cells.map((cell) => [
  cell.cell, `${cell.run} ${cell.model} ${cell.line} ${cell.schedule} ${cell.spacing} ${cell.steps} steps ${cell.guidance}`.toLowerCase(),
]));

function isShown(cell) {
  const words = state.one("words").toLowerCase().split(/\s+/).filter(Boolean);
  return words.every((word) => textOf.get(cell.cell).includes(word)) && facets.every(({ key }) => {
    const wanted = state.all(key);
    return !wanted.length || wanted.includes(String(cell[key]));
  });
}

const shownCells = () => report.cells.filter(isShown);

{
  const place = document.getElementById("facets");
  const output = document.querySelector("#filters output");
  const reset = document.getElementById("reset");
  const search = document.getElementById("words");
  const metric = document.getElementById("metric");

  for (const facet of facets) place.append(facetMenu(facet));
  for (const one of report.metrics) metric.append(element("option", { value: one.name }, `${one.short} (${one.better})`));

  search.addEventListener("input", () => state.set({ words: search.value || null }));
  metric.addEventListener("change", () => state.set({ by: metric.value === report.first ? null : metric.value }));
  reset.addEventListener("click", () => state.set(Object.fromEntries(filterKeys.map((key) => [key, null]))));
  document.getElementById("filters").hidden = report.cells.length < 2;
  document.addEventListener("click", (event) => closeMenus(event.target.closest?.(".facet")));
  place.addEventListener("keydown", (event) => { if (event.key === "Escape") closeMenus(null, true); });

  state.watch([...filterKeys, "by"], () => {
    const count = shownCells().length;
    output.textContent = count === report.cells.length ? `${count} cells` : `${count} of ${report.cells.length} cells`;
    reset.hidden = filterKeys.every((key) => !state.one(key));
    if (search.value !== state.one("words")) search.value = state.one("words");
    metric.value = chosenMetric();
  });

  function closeMenus(except, focus = false) {
    for (const menu of place.querySelectorAll("details[open]")) {
      if (menu === except) continue;
      menu.open = false;
      if (focus) menu.querySelector("summary").focus();
    }
  }

  function facetMenu({ key, name, values }) {
    const note = element("span");
    const boxes = values.map((value) => element("input", { type: "checkbox", value, onchange: change }));
    const labels = boxes.map((box) => element("label", {}, box, " ", box.value));
    const menu = element("details", { class: "facet" },
      element("summary", {}, name, " ", note),
      element("fieldset", {}, element("legend", {}, name), ...labels));
    state.watch([key], () => {
      const wanted = state.all(key);
      for (const box of boxes) box.checked = wanted.includes(box.value);
      note.textContent = !wanted.length ? "all" : wanted.length < 3 ? wanted.join(", ") : `${wanted.length} of ${values.length}`;
      menu.classList.toggle("on", wanted.length > 0);
    });
    return menu;

    function change() {
      const wanted = boxes.filter((box) => box.checked).map((box) => box.value);
      state.set({ [key]: wanted.length === values.length ? null : wanted });
    }
  }
}
