// The mark: a pixel, the point stored with it, and the point of its depth.

import { NO_PIXEL } from "./frame.js";
import { drawDepthScale, drawLoupe, showReadout } from "./readout.js";
import { cloud, picture, shown, state } from "./session.js";
import { byId, put } from "./text.js";

/** A mark on a pixel: its stored point, its reconstructed point, and the place of its depth. */
export function markOfPixel(frame, u, v) {
  const place = v * frame.width + u;
  const [stored, full] = [frame.storedAt[place], frame.fullAt[place]];
  return completeMark({ frame, pixel: [u, v], stored, full });
}

/** A mark on a stored point: the pixel is the one that is stored with it, right or wrong. */
export function markOfStored(frame, stored) {
  const pixel = [frame.pixels[2 * stored], frame.pixels[2 * stored + 1]];
  const full = frame.place[stored] === NO_PIXEL ? -1 : frame.fullAt[frame.place[stored]];
  return completeMark({ frame, pixel, stored, full });
}

function completeMark(mark) {
  const { frame, stored, full } = mark;
  const at = (array, index) => [...array.subarray(3 * index, 3 * index + 3)];
  mark.onRay = full >= 0 ? at(frame.full, full) : null;
  mark.point = stored >= 0 ? at(frame.points, stored) : mark.onRay;
  return mark;
}

/** Mark, or unmark with null. A pinned mark stays until another is pinned, or it is let go. */
export function setMark(mark, pins) {
  if (state.pinned && !pins) return;
  if (!mark && !state.mark) return;
  state.mark = mark;
  state.pinned = Boolean(pins && mark);
  byId("pin").hidden = !state.pinned;
  drawMarked();
  if (pins && mark)
    put("spoken", mark.stored >= 0
      ? `Point ${mark.stored} is pixel ${mark.pixel.join(", ")}; ${byId("out-projects").textContent}`
      : `Pixel ${mark.pixel.join(", ")}: depth ${byId("out-depth").textContent}`);
}

export function drawMarked() {
  const own = state.mark && state.mark.frame === shown.current ? state.mark : null;
  picture.state = { ...state, mark: own };
  picture.draw();
  cloud.refresh();
  showReadout(shown.current, state);
  drawLoupe(byId("loupe"), shown.current, state, shown.pixels, shown.look);
  if (state.layer === "depth") drawDepthScale(byId("depth-scale"), shown.current, state, shown.look);
}
