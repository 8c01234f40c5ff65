// Light or dark, as chosen before or as the system has it.

const KEY = "cma3d-theme";

export function firstTheme() {
  try {
    const kept = localStorage.getItem(KEY);
    if (kept === "light" || kept === "dark") return kept;
  } catch {
    // a browser may forbid storage to files
  }
  return window.matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
}

/** Set the theme of the page, and keep it for the next page. */
export function keepTheme(theme) {
  document.documentElement.dataset.theme = theme;
  try {
    localStorage.setItem(KEY, theme);
  } catch {
    // as above
  }
}

export const otherTheme = () => (document.documentElement.dataset.theme === "dark" ? "light" : "dark");
