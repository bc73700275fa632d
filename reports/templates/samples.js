"use strict";
// The grid of samples: rows vary one setting, columns are prompts and seeds, everything else is held and can be moved.

const pictured = report.cells.filter((cell) => cell.cell in report.samples.uris);
const axes = report.axes;
const axisKeys = axes.map((axis) => `at.${axis.key}`);
const seedOf = (i) => report.seed + i;

/** The text of a value of a setting, with its unit. */
const worded = (key, value) => (value == null ? "unknown" : key === "steps" ? `${value} step${value === 1 ? "" : "s"}` : String(value || "none"));

/** The picture among these cells that shares most of the wanted settings; the first key counts most. */
function nearest(cells, wanted) {
  const keys = Object.keys(wanted);
  const score = (cell) => keys.reduce((sum, key, i) => sum + (String(cell[key]) === String(wanted[key]) ? 2 ** (keys.length - i) : 0), 0);
  return cells.reduce((best, cell) => (!best || score(cell) > score(best) ? cell : best), null);
}

/** A slider where values are numbers or many, a list otherwise; ``choose`` is called with the chosen value. */
function control(axis, choose) {
  const label = element("label", { class: "control" }, element("span", {}, axis.name));
  if (axis.key === "steps" || axis.key === "guidance") {
    const output = element("output");
    const input = element("input", { type: "range", min: 0, max: axis.values.length - 1, step: 1, oninput: () => choose(axis.values[input.value]) });
    label.append(input, output);
    return { label, put(value) {
      input.value = axis.values.findIndex((one) => String(one) === String(value));
      output.textContent = worded(axis.key, value);
      input.setAttribute("aria-valuetext", output.textContent);
    } };
  }
  const select = element("select", { onchange: () => choose(select.value) },
    ...axis.values.map((value) => element("option", { value }, worded(axis.key, value))));
  label.append(select);
  return { label, put(value) { select.value = value; } };
}

{
  const section = document.getElementById("samples");
  if (section && pictured.length) {
    const place = section.querySelector(".grid-place");
    const varied = section.querySelector(".varied");
    const held = section.querySelector(".held");
    const pick = cellByKey.get(report.picks.find((key) => key in report.samples.uris)) ?? pictured[0];
    const rowKey = () => (axes.find((axis) => axis.key === state.one("rows")) ?? axes.find((axis) => axis.key === "sampler") ?? axes[0])?.key;

    for (const axis of axes) {
      const input = element("input", { type: "radio", name: "rows", value: axis.key, onchange: () => state.set({ rows: axis.key }) });
      varied.append(element("label", {}, input, element("span", {}, axis.name)));
    }
    varied.closest(".tools").hidden = !axes.length;
    const controls = new Map(axes.map((axis) => [axis.key, control(axis, (value) => state.set({ [`at.${axis.key}`]: String(value) }))]));
    held.append(...[...controls.values()].map((one) => one.label));

    state.watch([...filterKeys, ...axisKeys, "rows", "by"], draw);
    place.addEventListener("keydown", move);

    function draw() {
      const cells = pictured.filter(isShown);
      const key = rowKey();
      const wanted = Object.fromEntries(axes.map((axis) => [axis.key, state.one(`at.${axis.key}`, String(pick[axis.key]))]));
      delete wanted[key];
      for (const input of varied.querySelectorAll("input")) input.checked = input.value === key;
      for (const [name, one] of controls) one.label.hidden = name === key;
      section.querySelector(".empty").hidden = cells.length > 0;
      const centre = nearest(cells, wanted);
      for (const [name, one] of controls) if (centre) one.put(centre[name]);
      const fixed = centre && Object.fromEntries(Object.keys(wanted).map((name) => [name, centre[name]]));
      const values = axes.find((axis) => axis.key === key)?.values ?? [undefined];
      const rows = values.map((value) => {
        const having = cells.filter((cell) => value === undefined || String(cell[key]) === String(value));
        return having.length ? [value, nearest(having, fixed)] : null;
      }).filter(Boolean);
      place.replaceChildren(grid(key, rows, fixed));
    }

    function grid(key, rows, fixed) {
      const heads = report.prompts.map((prompt, i) => element("th", { scope: "col", title: prompt }, element("span", {}, prompt), element("small", {}, `seed ${seedOf(i)}`)));
      const lines = rows.map(([value, cell], r) => {
        const other = Object.entries(fixed ?? {}).filter(([name, one]) => String(cell[name]) !== String(one)).map(([name]) => worded(name, cell[name]));
        const name = value === undefined ? cell.setting : worded(key, value);
        const head = element("th", { scope: "row" }, element("span", {}, name),
          other.length ? element("em", {}, other.join(", ")) : null, element("small", {}, said(chosenMetric(), cell.cell)));
        const tiles = report.prompts.map((prompt, i) => element("td", {}, element("button", {
          type: "button", class: "tile", "data-cell": cell.cell, "data-image": i, tabindex: r || i ? -1 : 0,
          "aria-label": `${cell.setting}: ${prompt}, seed ${seedOf(i)}`, onclick: () => openComparison({ cell: cell.cell, image: i }),
        }, tile(cell.cell, i))));
        return element("tr", { class: report.picks.includes(cell.cell) ? "pick" : null }, head, ...tiles);
      });
      return element("table", { class: "grid" },
        element("thead", {}, element("tr", {}, element("td"), ...heads)), element("tbody", {}, ...lines));
    }

    /** Arrow keys walk over the tiles. */
    function move(event) {
      const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
      const from = event.target.closest(".tile");
      if (!step || !from) return;
      event.preventDefault();
      const rows = [...place.querySelectorAll("tbody tr")].map((row) => [...row.querySelectorAll(".tile")]);
      const r = rows.findIndex((row) => row.includes(from));
      const to = rows[r + step[0]]?.[rows[r].indexOf(from) + step[1]];
      if (!to) return;
      from.tabIndex = -1;
      to.tabIndex = 0;
      to.focus();
    }
  }
}
