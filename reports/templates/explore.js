"use strict";
// Sliders and choices of the exploration page. Charts are Vega-Lite; what moves in them is their named data.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const at = (id) => document.getElementById(id);
  const counts = Object.keys(Object.values(Object.values(data.taken)[0])[0]);
  const EDGE = 14;

  // A point of a schedule: t and log-SNR, from which alpha-bar follows; infinite ends are drawn at the chart's edges.
  const point = ([t, logsnr]) => {
    const shown = logsnr ?? (t > 0.5 ? -EDGE : EDGE);
    return { t, logsnr: shown, alpha_bar: logsnr === null ? Number(t <= 0.5) : 1 / (1 + Math.exp(-logsnr)) };
  };
  const numbers = ({ alpha, sigma }) => `α ${alpha.toFixed(4)}  σ ${sigma.toFixed(4)}`;
  const logsnr = ({ alpha, sigma }) => Math.max(-EDGE, Math.min(EDGE, 2 * Math.log(alpha / sigma)));

  const dark = matchMedia("(prefers-color-scheme: dark)");
  const options = { renderer: "svg", actions: false, ast: true };
  const shown = {};
  // The first rows of a chart come with it, for Vega knows no scale of nothing; later ones replace them.
  const draw = async (id, rows) => {
    if (!shown[id]) {
      const config = { ...data.looks[dark.matches ? "dark" : "light"], background: null };
      shown[id] = vegaEmbed(at(id), { ...data.charts[id], config, datasets: rows }, options);
      return;
    }
    const { view } = await shown[id];
    for (const [name, values] of Object.entries(rows)) view.data(name, values);
    await view.runAsync();
  };

  const frame = (element, strip, index) => {
    const i = Math.max(0, Math.min(strip.count - 1, index)), rows = Math.ceil(strip.count / strip.columns);
    const share = (place, all) => (all > 1 ? `${(100 * place) / (all - 1)}%` : "0%");
    element.style.aspectRatio = `${strip.width} / ${strip.height}`;
    element.style.backgroundImage = `url("${strip.uri}")`;
    element.style.backgroundSize = `${100 * strip.columns}% ${100 * rows}%`;
    element.style.backgroundPosition = `${share(i % strip.columns, strip.columns)} ${share(Math.floor(i / strip.columns), rows)}`;
  };
  const figure = (parent, caption, frames) => {
    const whole = document.createElement("figure"), said = document.createElement("figcaption");
    const parts = Array.from({ length: frames }, () => Object.assign(document.createElement("div"), { className: "frame" }));
    parts.forEach((part) => part.setAttribute("role", "img"));
    said.textContent = caption;
    whole.append(...parts, said);
    parent.append(whole);
    return parts;
  };
  const slider = (id, move) => {
    at(id).addEventListener("input", () => move(Number(at(id).value)));
    move(Number(at(id).value));
  };

  const every = Object.entries(data.curves).flatMap(([schedule, points]) => points.map((p) => ({ schedule, ...point(p) })));
  const choose = () => {
    const schedule = at("schedule").value, spacing = at("spacing").value, count = counts[at("steps").value];
    const steps = (name) => {
      const found = data.taken[schedule][name][count];
      return typeof found === "string" ? [] : found.map((p, step) => ({ schedule, spacing: name, step, chosen: name === spacing, ...point(p) }));
    };
    const names = Object.keys(data.taken[schedule]);
    const refused = names.filter((name) => typeof data.taken[schedule][name][count] === "string");
    const reason = data.taken[schedule][spacing][count];
    at("steps-said").textContent = `${count} steps`;
    at("refused").textContent = typeof reason === "string" ? `${spacing}: ${reason}` : "";
    at("left-out").textContent = refused.length ? `Refused on ${schedule} with ${count} steps: ${refused.join(", ")}.` : "";
    const rows = { curves: every, chosen: every.filter((row) => row.schedule === schedule), steps: steps(spacing) };
    ["alpha-bar", "log-snr"].forEach((id) => draw(id, rows));
    draw("spacings", { spacings: names.flatMap(steps) });
  };
  ["schedule", "spacing", "steps"].forEach((id) => at(id).addEventListener("input", choose));
  choose();

  const [clean] = figure(at("forward"), "x0, the image", 1), [mixed] = figure(at("forward"), "x = α x0 + σ ε", 1);
  frame(clean, data.forward.x, 0);
  clean.setAttribute("aria-label", "the image itself");
  slider("forward-at", (i) => {
    const { levels, x } = data.forward;
    frame(mixed, x, i);
    mixed.setAttribute("aria-label", `the image with noise, ${numbers(levels[i])}`);
    at("forward-said").textContent = `${(i / (levels.length - 1)).toFixed(2)}   ${numbers(levels[i])}`;
  });

  const distances = data.walks.flatMap((walk) =>
    walk.distance.map((distance, evaluation) => ({ walk: walk.label, evaluation, distance, logsnr: logsnr(walk.levels[evaluation]) })));
  const parts = data.walks.map((walk) => figure(at("walks"), walk.label, 2));
  slider("walk-at", (percent) => {
    const places = data.walks.map((walk) => Math.round((percent / 100) * (walk.levels.length - 1)));
    data.walks.forEach((walk, k) => {
      const last = walk.levels.length - 1;
      const said = `${walk.label}, ${places[k] === last ? "the end" : `evaluation ${places[k] + 1} of ${last}`}`;
      [walk.x, walk.x0].forEach((strip, j) => {
        frame(parts[k][j], strip, places[k]);
        parts[k][j].setAttribute("aria-label", `${j ? "predicted image" : "x"} of ${said}`);
      });
    });
    at("walk-said").textContent = `${percent} %`;
    const now = data.walks.map((walk, k) => distances.find((row) => row.walk === walk.label && row.evaluation === places[k]));
    draw("distances", { distances, now });
  });

  if (data.scales.length) {
    const images = data.scales.map((row) => figure(at("scales"), row.method, 1)[0]);
    const scales = [...new Set(data.scales.flatMap((row) => row.scales))].sort((a, b) => a - b);
    at("scale-at").max = scales.length - 1;
    at("scale-at").value = scales.indexOf(3) >= 0 ? scales.indexOf(3) : 0;
    slider("scale-at", (i) => {
      at("scale-said").textContent = String(scales[i]);
      data.scales.forEach((row, k) => {
        images[k].style.visibility = row.scales.includes(scales[i]) ? "" : "hidden";
        frame(images[k], row.x, row.scales.indexOf(scales[i]));
        images[k].setAttribute("aria-label", `${row.method} at scale ${scales[i]}`);
      });
    });
  }
})();
