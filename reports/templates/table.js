"use strict";
// The table of numbers: its rows follow the filters, its headings sort it.

{
  const table = document.querySelector("table.numbers");
  if (table) {
    const body = table.tBodies[0];
    const rows = [...body.rows];
    const heads = [...table.tHead.rows[0].cells];
    const nameOf = (head) => head.dataset.column;

    const compare = (a, b, up) => {
      const [x, y] = [a.dataset.value, b.dataset.value];
      if (x === undefined || y === undefined) {
        return (up ? 1 : -1) * a.textContent.localeCompare(b.textContent, undefined, { numeric: true });
      }
      const [p, q] = [Number(x), Number(y)]; // "nan" is not a number: cells without a value always come last
      if (Number.isNaN(p) || Number.isNaN(q)) return Number.isNaN(p) - Number.isNaN(q);
      return up ? p - q : q - p;
    };

    heads.forEach((head) => {
      const button = head.querySelector("button");
      button.disabled = false;
      button.addEventListener("click", () => {
        const up = head.getAttribute("aria-sort") !== "ascending";
        state.set({ sort: `${nameOf(head)}:${up ? "up" : "down"}` });
      });
    });

    state.watch(["sort"], () => {
      const [, column, way] = /^(.*):(up|down)$/.exec(state.one("sort")) ?? [];
      const place = heads.findIndex((head) => nameOf(head) === column);
      heads.forEach((head, i) => head.setAttribute("aria-sort", i !== place ? "none" : way === "up" ? "ascending" : "descending"));
      if (place >= 0) body.append(...[...rows].sort((a, b) => compare(a.cells[place], b.cells[place], way === "up")));
    });

    const output = document.querySelector("#table output");
    state.watch(filterKeys, () => {
      let shown = 0;
      for (const row of rows) {
        const cell = cellByKey.get(row.dataset.cell);
        row.hidden = cell ? !isShown(cell) : false;
        shown += !row.hidden;
      }
      output.textContent = shown === rows.length ? `${shown} rows` : `${shown} of ${rows.length} rows`;
    });
  }
  addEventListener("beforeprint", () => document.querySelectorAll("main details").forEach((part) => { part.open = true; }));
}
