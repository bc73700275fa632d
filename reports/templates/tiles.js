"use strict";
// Pictures of samples: one image file per cell holds all its tiles, decoded when first needed.

const sheets = new Map();

/** The sheet of a cell, decoded. */
function sheetOf(cell) {
  if (!sheets.has(cell)) {
    const sheet = new Image();
    sheet.src = report.samples.uris[cell];
    sheets.set(cell, sheet.decode().then(() => sheet));
  }
  return sheets.get(cell);
}

/** A canvas with image i of a cell. */
function tile(cell, i) {
  const { width, height } = report.samples;
  const canvas = element("canvas", { width, height });
  show(canvas, cell, i);
  return canvas;
}

/** Put image i of a cell on a canvas, unless something else was asked for meanwhile. */
async function show(canvas, cell, i) {
  const { width, height } = report.samples;
  canvas.dataset.shows = `${cell} ${i}`;
  const sheet = await sheetOf(cell);
  if (canvas.dataset.shows !== `${cell} ${i}`) return;
  canvas.width = width;
  canvas.height = height;
  canvas.getContext("2d").drawImage(sheet, i * width, 0, width, height, 0, 0, width, height);
}

/** The same in full size, where the results' folder still has it; whether it does. */
async function showWhole(canvas, cell, i) {
  await show(canvas, cell, i);
  const folder = report.samples.pictures[cell];
  if (!folder) return false;
  const whole = new Image();
  whole.src = `${folder}/${String(i).padStart(7, "0")}.png`;
  try { await whole.decode(); } catch { return false; }
  if (canvas.dataset.shows !== `${cell} ${i}`) return false;
  canvas.width = whole.naturalWidth;
  canvas.height = whole.naturalHeight;
  canvas.getContext("2d").drawImage(whole, 0, 0);
  return true;
}
