// Elements of the page by their id, and numbers as text.

export const byId = (id) => document.getElementById(id);

/** Set the text of an element by its id; markup in it stays text. */
export function put(id, text) {
  byId(id).textContent = text;
}

export const figures = (number) => number.toLocaleString("en");
export const triple = (values) => values.map((value) => value.toFixed(4).replace("-", "−")).join(" ");
