"use strict";
// What the page holds, and the rows that charts, table and samples are made of.

const report = JSON.parse(document.getElementById("data").textContent);
const cellByKey = new Map(report.cells.map((cell) => [cell.cell, cell]));

/** The numbers of a cell in one metric by name, or null where it has none. */
function numbersOf(metric, cell) {
  const found = report.numbers[metric]?.[cell];
  return found ? Object.fromEntries(report.fields.map((field, i) => [field, found[i]])) : null;
}

const nothing = Object.fromEntries(report.fields.map((field) => [field, field === "best" ? false : null]));

/** A row of a chart: settings, numbers of the metric, and across them those of the adherence metric. */
function rowOf(metric, cell) {
  const over = metric === report.across ? null : numbersOf(report.across, cell.cell);
  return {
    ...cell, ...nothing, ...numbersOf(metric, cell.cell),
    across: over?.value ?? null, across_low: over?.low ?? null, across_high: over?.high ?? null,
    across_text: over?.text ?? null,
  };
}

/** The metric's name, and its text for a cell. */
function said(metric, cell) {
  const numbers = numbersOf(metric, cell);
  const { short } = report.metrics.find((one) => one.name === metric) ?? {};
  return numbers ? `${short} ${numbers.text}` : "";
}

/** An element with attributes and children; text is always text. */
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value != null) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child != null));
  return made;
}
