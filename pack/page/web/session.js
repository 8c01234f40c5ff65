// What the page carries, what is shown of it, and the two panels that show it.

import { CloudPanel } from "./cloud.js";
import { parseColour } from "./colour.js";
import { Frame } from "./frame.js";
import { PicturePanel } from "./picture.js";
import { byId } from "./text.js";

export const payload = JSON.parse(byId("payload").textContent);
export const frames = payload.frames.map((coded) => new Frame(coded));

export const state = {
  at: payload.start, // index of the view shown
  layer: "rgb",
  cloud: "stored", // or "all"
  others: false, // the points of the model's other views, too
  cameras: true,
  dots: false,
  size: 1, // of the points
  mask: null, // {strategy, ratio, seed: indices, collisions}
  networkSeed: 0,
  mark: null, // {frame, pixel, stored, full, point, onRay}
  pinned: false,
};

/** What follows from the view, the layer and the theme. */
export const shown = {
  look: null, // colours of the theme
  current: null, // the view shown, loaded
  family: [], // all views of its model, loaded
  pixels: null, // words of the image as the layer has it
};

export const picture = new PicturePanel(byId("picture"));
export const cloud = new CloudPanel(byId("cloud"));

/** Read the colours of the theme from the style sheet. */
export function readLook() {
  const style = getComputedStyle(document.documentElement);
  const css = (name) => style.getPropertyValue(`--${name}`).trim();
  const look = { font: css("font"), depthOfShade: Number(css("shade")) };
  for (const name of ["ink", "faint", "halo", "rim", "grid", "veil", "hatch", "thread"]) look[name] = css(name);
  for (const name of ["panel", "mark", "fault", "masked", "visible", "none"]) look[name] = parseColour(css(name));
  shown.look = look;
}

