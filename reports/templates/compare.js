"use strict";
// Two samples of the same prompt and seed: beside each other, one over the other, or what differs, made brighter.

/** Open the comparison of a cell with the one it was compared with last, at first with the recommended one. */
function openComparison({ cell, image = Number(state.one("image", "0")) }) {
  const other = [state.one("ref"), ...report.picks].find((key) => key in report.samples.uris && key !== cell);
  state.set({ cell, image: String(image), ref: other ?? pictured.find((one) => one.cell !== cell)?.cell ?? cell });
}

{
  const dialog = document.getElementById("comparison");
  const stage = dialog.querySelector(".stage");
  const sides = ["ref", "cell"].map(side);
  const MODES = ["side", "swipe", "difference"];
  const inputs = Object.fromEntries(["zoom", "gain", "swipe"].map((name) => [name, dialog.querySelector(`input[name=${name}]`)]));
  let opener = null;

  const mode = () => (MODES.includes(state.one("mode")) ? state.one("mode") : "side");
  const image = () => Math.min(Math.max(Number(state.one("image", "0")) || 0, 0), report.prompts.length - 1);
  const close = () => state.set({ cell: null });

  dialog.querySelector(".close").addEventListener("click", close);
  dialog.addEventListener("cancel", (event) => { event.preventDefault(); close(); });
  dialog.addEventListener("click", (event) => { if (event.target === dialog) close(); });
  dialog.querySelector(".before").addEventListener("click", () => turn(-1));
  dialog.querySelector(".after").addEventListener("click", () => turn(1));
  dialog.querySelector(".exchange").addEventListener("click", exchange);
  for (const radio of dialog.querySelectorAll("input[name=mode]")) radio.addEventListener("change", () => state.set({ mode: radio.value }));
  for (const [name, input] of Object.entries(inputs)) input.addEventListener("input", () => state.set({ [name]: input.value }));
  dialog.addEventListener("keydown", key);

  state.watch(["cell", "ref", "image", "mode", "zoom", "gain", "swipe", "by"], draw);
  addEventListener("resize", () => { if (dialog.open) draw(); });

  function side(name) {
    const canvas = dialog.querySelector(`canvas[data-side=${name}]`);
    const words = dialog.querySelector(`.sides [data-side=${name}]`);
    const shown = () => cellByKey.get(state.one(name));
    const controls = axes.map((axis) => [axis.key, control(axis, (value) => {
      const { [axis.key]: _, ...rest } = Object.fromEntries(axes.map((one) => [one.key, shown()[one.key]]));
      state.set({ [name]: nearest(pictured.filter((cell) => String(cell[axis.key]) === String(value)), rest).cell });
    })]);
    words.querySelector(".controls").append(...controls.map(([, one]) => one.label));
    return { canvas, draw() {
      const cell = shown();
      for (const [key, one] of controls) one.put(cell[key]);
      words.querySelector(".name").textContent = cell.setting;
      words.querySelector(".value").textContent = said(chosenMetric(), cell.cell);
      canvas.setAttribute("aria-label", `${cell.setting}: ${report.prompts[image()]}`);
      showWhole(canvas, cell.cell, image());
    } };
  }

  function draw() {
    const open = state.one("cell") in report.samples.uris;
    if (!open) {
      if (dialog.open) { dialog.close(); opener?.focus(); }
      return;
    }
    if (!(state.one("ref") in report.samples.uris)) { openComparison({ cell: state.one("cell") }); return; }
    if (!dialog.open) { opener = document.activeElement; dialog.showModal(); }
    dialog.dataset.mode = mode();
    dialog.querySelector(".prompt").textContent = report.prompts[image()];
    dialog.querySelector(".place").textContent = `Image ${image() + 1} of ${report.prompts.length}, seed ${seedOf(image())}`;
    for (const radio of dialog.querySelectorAll("input[name=mode]")) radio.checked = radio.value === mode();
    for (const [name, input] of Object.entries(inputs)) {
      input.value = state.one(name, input.defaultValue);
      input.closest("label").querySelector("output").textContent = input.value + (name === "swipe" ? " %" : "×");
    }
    const columns = mode() === "side" && innerWidth > 700 ? 2 : 1;
    const room = Math.min((dialog.clientWidth - 48 - 24 * (columns - 1)) / columns, innerHeight * 0.5);
    const { width, height } = report.samples;
    const across = room * Math.min(width / height, 1);
    for (const { canvas } of sides) canvas.style.width = `${Math.round(across * Number(inputs.zoom.value))}px`;
    stage.style.filter = mode() === "difference" ? `brightness(${inputs.gain.value})` : "";
    sides[1].canvas.style.clipPath = mode() === "swipe" ? `inset(0 0 0 ${inputs.swipe.value}%)` : "";
    for (const one of sides) one.draw();
  }

  function turn(by) {
    const count = report.prompts.length;
    state.set({ image: String((image() + by + count) % count) });
  }

  function exchange() { state.set({ cell: state.one("ref"), ref: state.one("cell") }); }

  /** The next cell along the rows of the grid, all else the same. */
  function step(by) {
    const axis = axes.find((one) => one.key === (state.one("rows") || "sampler")) ?? axes[0];
    const here = cellByKey.get(state.one("cell"));
    if (!axis) return;
    const { [axis.key]: _, ...rest } = Object.fromEntries(axes.map((one) => [one.key, here[one.key]]));
    for (let i = axis.values.findIndex((one) => one === here[axis.key]) + by; i >= 0 && i < axis.values.length; i += by) {
      const there = pictured.filter((cell) => cell[axis.key] === axis.values[i] && isShown(cell));
      if (there.length) { state.set({ cell: nearest(there, rest).cell }); return; }
    }
  }

  function key(event) {
    if (event.target.matches("select, input[type=range]") && event.key.startsWith("Arrow")) return;
    const zoom = (by) => state.set({ zoom: String(Math.min(Math.max(Number(inputs.zoom.value) + by, 1), 8)) });
    const action = {
      ArrowLeft: () => turn(-1), ArrowRight: () => turn(1), ArrowUp: () => step(-1), ArrowDown: () => step(1),
      d: () => state.set({ mode: MODES[(MODES.indexOf(mode()) + 1) % MODES.length] }), x: exchange, "+": () => zoom(1), "-": () => zoom(-1),
    }[event.key];
    if (!action || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    action();
  }
}
