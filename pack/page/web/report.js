// The report needs little: light or dark, and a search among the thumbnails.

import { byId } from "./text.js";
import { firstTheme, keepTheme, otherTheme } from "./theme.js";

document.documentElement.dataset.theme = firstTheme();
byId("theme").addEventListener("click", () => keepTheme(otherTheme()));
byId("search").addEventListener("input", (event) => {
  const words = event.target.value.toLowerCase().split(/\s+/);
  for (const item of document.querySelectorAll("[data-name]"))
    item.hidden = !words.every((word) => item.dataset.name.includes(word));
});
document.documentElement.dataset.ready = "yes";
