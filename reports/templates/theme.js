"use strict";
// Light or dark: as the reader's system is, until the reader says otherwise.

const preference = matchMedia("(prefers-color-scheme: dark)");
const printing = matchMedia("print");
const themeNow = () => state.one("theme", preference.matches ? "dark" : "light") === "dark" && !printing.matches ? "dark" : "light";

{
  const button = document.getElementById("theme");
  const apply = () => {
    const theme = themeNow();
    document.documentElement.dataset.theme = theme;
    button.setAttribute("aria-pressed", String(theme === "dark"));
    button.textContent = theme === "dark" ? "Light" : "Dark";
  };
  button.hidden = false;
  button.addEventListener("click", () => state.set({ theme: themeNow() === "dark" ? "light" : "dark" }));
  for (const query of [preference, printing]) query.addEventListener("change", () => state.tell(["theme"]));
  state.watch(["theme"], apply);
}
