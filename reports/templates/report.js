"use strict";
// Sorting and filtering of the table of numbers, and everything unfolded on paper. The page is complete without it.
(() => {
  addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((part) => { part.open = true; }));
  const table = document.querySelector("table.numbers");
  if (!table) return;
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const heads = [...table.tHead.rows[0].cells];
  const tools = document.querySelector(".tools");
  const input = tools.querySelector("input");
  const output = tools.querySelector("output");

  const compare = (a, b, up) => {
    const [x, y] = [a.dataset.value, b.dataset.value];
    if (x === undefined || y === undefined) {
      return (up ? 1 : -1) * a.textContent.localeCompare(b.textContent, undefined, { numeric: true });
    }
    const [p, q] = [Number(x), Number(y)]; // "nan" is not a number: cells without a value always come last
    if (Number.isNaN(p) || Number.isNaN(q)) return Number.isNaN(p) - Number.isNaN(q);
    return up ? p - q : q - p;
  };

  heads.forEach((head, column) => {
    const button = head.querySelector("button");
    button.disabled = false;
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      heads.forEach((other) => other.setAttribute("aria-sort", "none"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      rows.sort((a, b) => compare(a.cells[column], b.cells[column], up));
      body.append(...rows);
    });
  });

  input.parentElement.hidden = false;
  const texts = new Map(rows.map((row) => [row, [...row.cells].map((cell) => cell.textContent).join(" ").toLowerCase()]));
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    rows.forEach((row) => {
      row.hidden = !words.every((word) => texts.get(row).includes(word));
      shown += !row.hidden;
    });
    output.textContent = shown === rows.length ? `${shown} rows` : `${shown} of ${rows.length} rows`;
  });
})();
