'use strict';
// The report needs little: light or dark, and a search among the thumbnails.

const root = document.documentElement;

function setTheme(theme) {
  root.dataset.theme = theme;
  try {
    localStorage.setItem("cma3d-theme", theme);
  } catch {
    // a browser may forbid it to files
  }
}

let kept = null;
try {
  kept = localStorage.getItem("cma3d-theme");
} catch {
  // as above
}
const dark = window.matchMedia("(prefers-color-scheme: dark)").matches;
root.dataset.theme = kept === "light" || kept === "dark" ? kept : dark ? "dark" : "light";
document.getElementById("theme").addEventListener("click", () => setTheme(root.dataset.theme === "dark" ? "light" : "dark"));
document.getElementById("search").addEventListener("input", (event) => {
  const words = event.target.value.toLowerCase().split(/\s+/);
  for (const item of document.querySelectorAll("[data-name]"))
    item.hidden = !words.every((word) => item.dataset.name.includes(word));
});
root.dataset.ready = "yes";
