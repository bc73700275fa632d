// Asks every two seconds how far the run is, and shows its report anew when there is another one.
const part = (id) => document.getElementById(id);
const report = part("report");
let shown = 0;

const duration = (seconds) => {
  const units = [[86400, "d"], [3600, "h"], [60, "min"]];
  const [size, unit] = units.find(([size]) => seconds >= 2 * size) ?? [1, "s"];
  return `${Math.round(seconds / size)} ${unit}`;
};

const words = (run) => {
  const facts = [
    `${run.images.toLocaleString("en")} of ${run.of.toLocaleString("en")} images`,
    `${run.cells} of ${run.of_cells} cells done`,
  ];
  if (run.failed) facts.push(`${run.failed} failed`);
  if (run.refused) facts.push(`${run.refused} refused`);
  if (run.rate && run.images < run.of) facts.push(`${run.rate.toPrecision(3)} images/s`);
  if (run.left !== null && run.images < run.of) facts.push(`about ${duration(run.left)} left`);
  return facts.join(", ");
};

const show = (version) => {
  if (!shown) {
    report.src = "report.html";
    report.hidden = false;
    part("waiting").hidden = true;
  } else {
    const inside = report.contentWindow;
    const [x, y] = [inside.scrollX, inside.scrollY];
    report.addEventListener("load", () => report.contentWindow.scrollTo(x, y), { once: true });
    inside.location.reload();
  }
  shown = version;
};

const look = async () => {
  try {
    const run = await (await fetch("progress.json")).json();
    part("name").textContent = document.title = run.name;
    part("bar").max = run.of || 1;
    part("bar").value = run.images;
    part("state").textContent = words(run);
    if (run.version > shown) show(run.version);
  } catch {
    part("state").textContent = "The server has ended; what is shown is its last report.";
  }
};

look();
setInterval(look, 2000);
