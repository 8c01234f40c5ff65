// The layers: a colour for every pixel, every stored point and every reconstructed point.

import { blend, mapped, normalColour, patchColours, word } from "./colour.js";
import { NO_PIXEL } from "./frame.js";

export const CLEAR = 0; // a word whose alpha is zero: nothing is drawn

/** The masks that the controls ask for: {points: (patches), cells: (rows * columns)}, 1 = masked; null without any. */
export function chosenMasks(frame, state) {
  if (state.layer === "network") {
    const [, patches] = frame.network.masked.shape;
    const cells = frame.network.cells.shape[1];
    const at = state.networkSeed;
    return {
      points: frame.network.masked.subarray(at * patches, (at + 1) * patches),
      cells: frame.network.cells.subarray(at * cells, (at + 1) * cells),
    };
  }
  if (state.layer !== "mask" || !frame.masks) return null;
  const { strategy, ratio, seed, collisions } = state.mask;
  const [ratios, seeds, rules, patches] = frame.masks.points.shape;
  const cells = frame.masks.cells.shape[4];
  const block = (ratio * seeds + seed) * rules + (collisions ? 1 : 0);
  const place = strategy * ratios * seeds * rules + block;
  return {
    points: frame.masks.points.subarray(block * patches, (block + 1) * patches),
    cells: frame.masks.cells.subarray(place * cells, (place + 1) * cells),
  };
}

/** A word a pixel; CLEAR where a layer shows nothing. */
export function pixelColours(frame, state, look) {
  const { width, height } = frame;
  const words = new Uint32Array(width * height);
  if (state.layer === "depth") {
    for (const place of frame.fullPlace) words[place] = depthColour(frame, frame.depth[place]);
  } else if (state.layer === "normal") {
    const { normals } = frame;
    for (const place of frame.fullPlace)
      words[place] = normalColour(normals[3 * place], normals[3 * place + 1], normals[3 * place + 2]);
  } else {
    paintImage(frame, words);
    if (state.layer === "patches") for (let p = 0; p < words.length; p++) words[p] = blend(words[p], look.panel, 0.72);
  }
  return words;
}

const depthColour = (frame, depth) =>
  mapped(frame.table, frame.far > frame.near ? (frame.far - depth) / (frame.far - frame.near) : 1);

/** The image itself; of a view that was not shaded, its shape in grey. */
export function paintImage(frame, words) {
  if (frame.rgb) {
    const { rgb } = frame;
    for (let p = 0, at = 0; p < words.length; p++, at += 3) words[p] = word(rgb[at], rgb[at + 1], rgb[at + 2]);
    return;
  }
  for (const place of frame.fullPlace) {
    const grey = Math.round(95 + 135 * Math.max(0, -frame.normals[3 * place + 2]));
    words[place] = word(grey, grey, grey);
  }
}

/** The place in the image whose cell is masked: true for the pixels that the image encoder does not see. */
export function cellMasked(frame, masks, place) {
  const [row, column] = frame.cellOf(place % frame.width, Math.floor(place / frame.width));
  return masks.cells[row * frame.grid[1] + column] === 1;
}

/** A word for each stored point. */
export function storedColours(frame, state, look, pixels) {
  const masks = chosenMasks(frame, state);
  const palette = state.layer === "patches" && frame.patches ? patchColours(frame.patches.shape[0]) : null;
  return Uint32Array.from({ length: frame.count }, (_, i) => {
    if (palette || masks) {
      const list = frame.patchesOf[i];
      if (!list.length) return look.none;
      if (palette) return palette[list[0]];
      return list.some((patch) => !masks.points[patch]) ? look.visible : look.masked; // what the encoder sees, it sees
    }
    return pointColour(frame, pixels, frame.place[i], look);
  });
}

/** A word for each point reconstructed from depth; without colour where a layer is about the stored points. */
export function fullColours(frame, state, look, pixels) {
  const about = ["patches", "mask", "network"].includes(state.layer);
  return Uint32Array.from(frame.fullPlace, (place) => (about ? look.none : pointColour(frame, pixels, place, look)));
}

/** A point has the colour of its pixel; a pixel outside the image, or with nothing there, is a fault that shows. */
function pointColour(frame, pixels, place, look) {
  return place === NO_PIXEL || pixels[place] === CLEAR ? look.fault : pixels[place];
}
