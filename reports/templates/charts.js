"use strict";
// Charts: drawn when they come into view, again when the theme, the metric or the width change; filters only swap rows.

const charts = []; // also for those who test the page

{
  const pointer = element("div", { id: "pointer", role: "status", hidden: true });
  document.body.append(pointer);

  /** What is under the pointer, as text beside it. */
  function tooltip(handler, event, item, value) {
    pointer.hidden = !value;
    if (!value) return;
    const lines = Object.entries(value).filter(([, text]) => text !== "" && text !== "null");
    const [, head] = lines.shift() ?? ["", ""];
    pointer.replaceChildren(element("b", {}, head),
      element("dl", {}, ...lines.flatMap(([name, text]) => [element("dt", {}, name), element("dd", {}, text)])));
    const { width, height } = pointer.getBoundingClientRect();
    pointer.style.left = `${Math.max(8, Math.min(event.clientX + 14, innerWidth - width - 8))}px`;
    pointer.style.top = `${Math.max(8, event.clientY + 16 + height > innerHeight ? event.clientY - height - 12 : event.clientY + 16)}px`;
  }

  /** The specification in the colours of the theme, as wide as its place. */
  function fitted(spec, place, rows) {
    const dark = themeNow() === "dark";
    const text = JSON.stringify(spec).replace(/#[0-9a-f]{6}/g, (colour) => (dark && report.dark[colour]) || colour);
    const made = JSON.parse(text);
    const room = place.clientWidth || 640;
    if (made.height?.step) made.height = made.height.step * Math.min(20, rows.filter((row) => row.value !== null).length);
    if (!made.facet) {
      const least = made.layer.some((layer) => layer.encoding?.y?.type === "nominal") ? 620 : 0; // names need room
      if (room < 560 && !least) made.layer = made.layer.filter((layer) => layer.mark.type !== "text");
      return { ...made, width: Math.max(room, least), autosize: { type: "fit-x", contains: "padding" } };
    }
    const inner = made.spec;
    if (typeof inner.width === "number") { // panels that may be stretched
      made.columns = Math.max(1, Math.min(3, Math.floor(room / 280)));
      inner.width = Math.min(420, (room - 62 - 24 * (made.columns - 1)) / made.columns);
    } else {
      const squares = new Set(rows.map((row) => row.guidance)).size;
      made.columns = Math.max(1, Math.min(4, Math.floor(room / (44 * squares + 90))));
      inner.width = { step: Math.max(24, Math.min(inner.width.step, (room / made.columns - 90) / squares)) };
    }
    return made;
  }

  function fewSteps(rows) {
    const steps = [...new Set(rows.filter((row) => row.value !== null && row.across !== null).map((row) => row.steps))].sort((a, b) => a - b);
    const kept = steps.length <= 3 ? steps : [steps[0], steps[Math.floor(steps.length / 2)], steps.at(-1)];
    return rows.filter((row) => kept.includes(row.steps));
  }

  for (const figure of document.querySelectorAll("figure[data-chart]")) charts.push(chart(figure));

  function chart(figure) {
    const place = figure.querySelector(".plot");
    const empty = figure.querySelector(".empty");
    const heading = figure.querySelector("h2");
    const made = { figure, view: null, ready: null, rows: [] };
    let visible = false, stale = true;

    const metric = () => (figure.dataset.metric === "exact" ? report.exact : chosenMetric());
    const name = () => (figure.dataset.chart === "cost" ? state.one("cost", "nfe") : figure.dataset.chart);
    const rows = () => {
      const all = shownCells().filter((cell) => cell.steps !== null).map((cell) => rowOf(metric(), cell));
      return name() === "tradeoff" ? fewSteps(all) : all;
    };

    async function draw() {
      stale = false;
      made.rows = rows();
      const spec = report.charts[metric()]?.[name()];
      const some = spec && made.rows.some((row) => row.value !== null && (name() !== "tradeoff" || row.across !== null));
      place.hidden = !some;
      empty.hidden = Boolean(some);
      made.view?.finalize();
      made.view = null;
      if (!some) return;
      const whole = fitted(spec, place, made.rows);
      whole.datasets = { rows: made.rows };
      whole.description = heading.textContent;
      const result = await vegaEmbed(place, whole, {
        mode: "vega-lite", renderer: "svg", actions: false, ast: true, defaultStyle: false, tooltip, logLevel: 1, // errors only: what it would warn of is meant
        config: { ...report.config[themeNow()], legend: { ...report.config[themeNow()].legend, columns: Math.max(2, Math.floor(place.clientWidth / 150)) } },
      });
      made.view = result.view;
      made.view.addEventListener("click", (event, item) => {
        if (item?.datum?.cell && report.samples.uris[item.datum.cell]) openComparison({ cell: item.datum.cell });
      });
    }

    function again() {
      stale = true;
      figure.querySelector("[data-metric-title]")?.replaceChildren(report.metrics.find((one) => one.name === metric())?.title ?? "");
      if (visible) once();
    }

    new IntersectionObserver((entries) => {
      visible = entries.at(-1).isIntersecting;
      if (visible && stale) again();
    }, { rootMargin: "400px" }).observe(figure);
    const once = () => { if (stale) made.ready = (made.ready ?? Promise.resolve()).then(() => (stale ? draw() : null)); };
    (window.requestIdleCallback ?? setTimeout)(once); // so that all are there when the page is printed
    addEventListener("beforeprint", once);
    let width = place.clientWidth;
    new ResizeObserver(() => {
      if (Math.abs(place.clientWidth - width) < 2 || place.hidden) return;
      width = place.clientWidth;
      again();
    }).observe(figure);
    state.watch([...filterKeys, "by", "theme", ...(figure.dataset.chart === "cost" ? ["cost"] : [])], again);
    return made;
  }

  for (const input of document.querySelectorAll("input[name=cost]")) {
    input.addEventListener("change", () => state.set({ cost: input.value === "nfe" ? null : input.value }));
    state.watch(["cost"], () => { input.checked = input.value === state.one("cost", "nfe"); });
  }
}
