// The read-out: the marked point and pixel in numbers, the verdict, and a loupe on the pixels around.

import { cssColour, mapped, normalColour, ticks } from "./colour.js";
import { fitCanvas } from "./gestures.js";
import { chosenMasks, CLEAR } from "./layers.js";
import { byId, figures, put, triple } from "./text.js";

/** Show how many points re-project to their pixel. */
export function showVerdict(frame) {
  const { count, pixel, point, centre } = frame.verdict;
  const fine = pixel === count && point === count;
  const box = byId("verdict");
  box.dataset.verdict = fine ? "holds" : "broken";
  const what = frame.coded.stored ? "stored points" : "points";
  put("verdict-text", `${figures(pixel)} of ${figures(count)} ${what} re-project to their pixel`);
  const reach = Number.isFinite(centre) ? `${centre < 1e-3 ? centre.toExponential(1) : centre.toFixed(2)} px` : "infinitely far";
  put("verdict-more", `farthest from its pixel’s centre: ${reach} · ${figures(point)} are their pixel’s depth, back-projected`);
}

/** Show the figures of a view that need no mark. */
export function showAbout(frame) {
  const { camera, coded } = frame;
  const angle = (2 * Math.atan(Math.min(frame.width, frame.height) / 2 / camera.fy) * 180) / Math.PI;
  put("about-image", `${frame.width} × ${frame.height}`);
  put("about-focal", `${camera.fx.toFixed(2)} px, ${angle.toFixed(1)}°`);
  put("about-eye", triple(camera.eye));
  put("about-depth", frame.fullCount ? `${frame.near.toFixed(4)} to ${frame.far.toFixed(4)}` : "none");
  put("about-full", figures(frame.fullCount));
  const count = byId("about-points");
  count.textContent = figures(coded.num_points);
  count.dataset.verdict = coded.num_points === frame.fullCount ? "holds" : "broken";
}

/** Fill the read-out for a mark, or for none. */
export function showReadout(frame, state) {
  const { mark } = state;
  byId("readout").dataset.empty = mark ? "no" : "yes";
  if (!mark) return;
  const { stored, full, point } = mark;
  const [u, v] = mark.pixel;
  const shown = mark.frame;
  put("out-stored", stored >= 0 ? `${figures(stored)}` : "none");
  put("out-stored-of", stored >= 0 ? `of ${figures(shown.count)} ${shown.coded.stored ? "stored" : "sampled"}` : "has this pixel");
  put("out-full", full >= 0 ? `${figures(full)} of ${figures(shown.fullCount)}` : "no depth");
  put("out-xyz", point ? triple([...point]) : "–");
  put("out-pixel", `(${u}, ${v})`);
  const inside = u < shown.width && v < shown.height;
  const depth = inside ? shown.depth[v * shown.width + u] : NaN;
  put("out-depth", !inside ? "outside the image" : depth > 0 ? depth.toFixed(5) : "0, background");
  showProjection(shown, mark);
  const colour = inside && shown.rgb ? shown.rgb.subarray(3 * (v * shown.width + u)).slice(0, 3) : null;
  byId("out-swatch").style.background = colour ? `rgb(${[...colour].join(" ")})` : "transparent";
  put("out-colour", colour ? [...colour].join(", ") : shown.rgb ? "–" : "not shaded");
  showPatch(shown, state, stored);
}

function showProjection(frame, mark) {
  const cell = byId("out-projects");
  if (mark.stored < 0) {
    cell.dataset.verdict = "none";
    cell.textContent = "–";
    return;
  }
  const [u, v] = frame.projected.subarray(2 * mark.stored, 2 * mark.stored + 2);
  const wrong = frame.wrong[mark.stored] === 1;
  cell.dataset.verdict = wrong ? "broken" : "holds";
  cell.textContent = `${wrong ? "✗" : "✓"} ${u.toFixed(3)}, ${v.toFixed(3)}`;
}

function showPatch(frame, state, stored) {
  const row = byId("row-patch");
  row.hidden = !frame.patches;
  if (!frame.patches) return;
  const list = stored >= 0 ? frame.patchesOf[stored] : [];
  const masks = chosenMasks(frame, state);
  const texts = list.map((patch) => `${patch}${masks ? (masks.points[patch] ? " masked" : " visible") : ""}`);
  put("out-patch", texts.length ? texts.join(", ") : stored >= 0 ? "in none" : "–");
}

/** Draw the pixels around the marked one, its border, and where its point projects. */
export function drawLoupe(canvas, frame, state, pixels, look) {
  const [width, height, fine] = fitCanvas(canvas, 3);
  const pen = canvas.getContext("2d");
  pen.setTransform(fine, 0, 0, fine, 0, 0);
  pen.fillStyle = cssColour(look.panel);
  pen.fillRect(0, 0, width, height);
  if (!state.mark) return;
  const shown = state.mark.frame;
  const [u, v] = state.mark.pixel;
  const across = 9;
  const size = width / across;
  const half = (across - 1) / 2;
  for (let dv = -half; dv <= half; dv++)
    for (let du = -half; du <= half; du++) {
      const [pu, pv] = [u + du, v + dv];
      if (pu < 0 || pv < 0 || pu >= shown.width || pv >= shown.height) continue;
      const colour = shown === frame ? pixels[pv * shown.width + pu] : CLEAR;
      if (colour === CLEAR) continue;
      pen.fillStyle = cssColour(colour);
      pen.fillRect((du + half) * size, (dv + half) * size, size + 0.5, size + 0.5);
    }
  pen.strokeStyle = look.grid;
  pen.lineWidth = 0.5;
  pen.beginPath();
  for (let i = 1; i < across; i++) {
    pen.moveTo(i * size, 0);
    pen.lineTo(i * size, height);
    pen.moveTo(0, i * size);
    pen.lineTo(width, i * size);
  }
  pen.stroke();
  for (const [colour, thick] of [[look.halo, 4], [cssColour(look.mark), 2]]) {
    pen.strokeStyle = colour;
    pen.lineWidth = thick;
    pen.strokeRect(half * size, half * size, size, size);
  }
  if (state.mark.stored < 0) return;
  const [pu, pv] = shown.projected.subarray(2 * state.mark.stored, 2 * state.mark.stored + 2);
  pen.fillStyle = cssColour(shown.wrong[state.mark.stored] ? look.fault : look.mark);
  pen.strokeStyle = look.halo;
  pen.lineWidth = 1.5;
  pen.beginPath();
  pen.arc((pu - u + half) * size, (pv - v + half) * size, 3.6, 0, 7);
  pen.fill();
  pen.stroke();
}

/** Draw the depth's colours with a scale of object units; the marked depth is pointed at. */
export function drawDepthScale(canvas, frame, state, look) {
  const [width, height, fine] = fitCanvas(canvas, 3);
  const pen = canvas.getContext("2d");
  pen.setTransform(fine, 0, 0, fine, 0, 0);
  pen.clearRect(0, 0, width, height);
  const [left, right, top, bar] = [14, width - 14, 10, 12];
  const at = (depth) => left + ((depth - frame.near) / (frame.far - frame.near || 1)) * (right - left);
  for (let x = left; x < right; x++) {
    pen.fillStyle = cssColour(mapped(frame.table, 1 - (x - left) / (right - left)));
    pen.fillRect(x, top, 1.5, bar);
  }
  pen.fillStyle = look.faint;
  pen.strokeStyle = look.faint;
  pen.lineWidth = 1;
  pen.font = `11px ${look.font}`;
  pen.textAlign = "center";
  const values = ticks(frame.near, frame.far);
  const digits = values.length > 1 ? Math.max(0, -Math.floor(Math.log10(values[1] - values[0]) + 1e-9)) : 3;
  for (const value of values) {
    pen.beginPath();
    pen.moveTo(at(value), top + bar);
    pen.lineTo(at(value), top + bar + 4);
    pen.stroke();
    pen.fillText(value.toFixed(digits), at(value), top + bar + 16);
  }
  const { mark } = state;
  if (!mark || mark.frame !== frame || mark.full < 0) return;
  const x = at(frame.depth[frame.fullPlace[mark.full]]);
  pen.fillStyle = cssColour(look.mark);
  pen.beginPath();
  pen.moveTo(x, top);
  pen.lineTo(x - 5, top - 8);
  pen.lineTo(x + 5, top - 8);
  pen.fill();
}

/** Draw a ball in the colours of its normals. */
export function drawNormalBall(canvas) {
  const [width, height, fine] = fitCanvas(canvas, 2);
  const pen = canvas.getContext("2d");
  const size = Math.round(Math.min(width, height) * fine);
  const image = new ImageData(size, size);
  const words = new Uint32Array(image.data.buffer);
  for (let y = 0; y < size; y++)
    for (let x = 0; x < size; x++) {
      const [nx, ny] = [(2 * x + 1) / size - 1, (2 * y + 1) / size - 1];
      const squared = nx * nx + ny * ny;
      if (squared < 1) words[y * size + x] = normalColour(nx, ny, -Math.sqrt(1 - squared));
    }
  pen.putImageData(image, 0, 0);
}
