// The view shown: going to another, and drawing it anew.

import { paintImage, pixelColours, storedColours } from "./layers.js";
import { showLegends } from "./legends.js";
import { drawMarked } from "./marks.js";
import { showAbout, showVerdict } from "./readout.js";
import { imagePlane, networkPanes, pointSets } from "./scene.js";
import { cloud, frames, payload, picture, shown, state } from "./session.js";
import { byId, figures, put } from "./text.js";

export function choose(name, value) {
  const input = document.querySelector(`input[name=${name}][value="${value}"]`);
  if (!input || input.disabled) return;
  input.checked = true;
  if (name in state) state[name] = value;
}

let requested = null; // the view requested last

/** Draw everything anew: after another view, layer or theme. */
export function redraw() {
  shown.pixels = pixelColours(shown.current, state, shown.look);
  const colours = storedColours(shown.current, state, shown.look, shown.pixels);
  picture.show(shown.current, state, shown.look, shown.pixels, colours);
  let panes;
  if (state.layer === "network") panes = networkPanes(shown.current);
  else {
    const sets = pointSets(shown.current);
    if (state.others) for (const frame of shown.family) if (frame !== shown.current) sets.push(...pointSets(frame));
    if (state.cameras) sets.push(imagePlane(shown.current));
    panes = [{ title: "", sets }];
  }
  const paneCount = cloud.panes.length;
  cloud.show(panes, shown.family, shown.current, state, shown.look);
  if (paneCount && paneCount !== panes.length) cloud.go(panes.length > 1 ? "object" : "scene", true);
  showLegends();
  drawMarked();
}

/** Show another view; its model's other views are loaded with it. */
export async function go(index) {
  const target = (requested = frames[index]);
  const same = (frame) => frame.coded.synset === target.coded.synset && frame.coded.model_id === target.coded.model_id;
  const loaded = await Promise.all(frames.filter(same).map((frame) => frame.load()));
  if (requested !== target) return; // meanwhile another was requested
  for (const frame of loaded) frame.table = payload.viridis;
  const other = !shown.current || !same(shown.current);
  state.at = index;
  shown.current = target;
  shown.family = loaded;
  if (!state.mark || state.mark.frame !== shown.current) {
    state.mark = null;
    state.pinned = false;
    byId("pin").hidden = true;
  }
  offerLayers();
  describeView();
  if (other) {
    picture.reset();
    showStrip();
  }
  for (const button of byId("strip").children) button.setAttribute("aria-current", String(Number(button.dataset.at) === index));
  redraw();
  if (other) cloud.go("scene", true);
}

/** Offer what the view has: without masks no mask layer, and the reason in its place. */
function offerLayers() {
  const has = { patches: shown.current.patches, mask: shown.current.masks, network: shown.current.network };
  for (const [layer, arrays] of Object.entries(has)) {
    const input = document.querySelector(`input[name=layer][value=${layer}]`);
    input.disabled = !arrays;
    input.closest("label").title = arrays ? "" : payload.missing[layer] ?? shown.current.coded.missing ?? "";
    if (!arrays && state.layer === layer) choose("layer", "rgb");
  }
  document.querySelector("input[name=layer][value=network]").closest("label").hidden = !payload.run;
  byId("missing").hidden = Boolean(shown.current.masks);
  put("missing", shown.current.masks ? "" : payload.missing.mask ?? shown.current.coded.missing ?? "");
  if (shown.current.masks && !state.mask) {
    const { strategies, ratios, preferred } = shown.current.masks;
    state.mask = { strategy: strategies.indexOf(preferred.strategy), ratio: ratios.indexOf(preferred.ratio), seed: 0, collisions: preferred.collisions };
    choose("strategy", String(state.mask.strategy));
    byId("collisions").checked = state.mask.collisions;
  }
  byId("others-box").hidden = shown.family.length < 2;
}

function describeView() {
  const { coded } = shown.current;
  put("name", coded.name);
  put("model", `${coded.synset}/${coded.model_id}`);
  put("view", `view ${coded.view}`);
  put("row", `${payload.unit} ${coded.row} of ${figures(payload.total)}`);
  document.title = `${coded.name} ${coded.model_id} · ${payload.unit} ${coded.row}`;
  put("picture-size", `${shown.current.width} × ${shown.current.height}`);
  put("count-stored", figures(shown.current.count));
  put("count-all", figures(shown.current.fullCount));
  byId("picture").setAttribute("aria-label",
    `Image of ${coded.name}, ${shown.current.width} by ${shown.current.height} pixels. Arrow keys move the marked pixel.`);
  byId("cloud").setAttribute("aria-label",
    `Point cloud of ${coded.name}, ${shown.current.count} points. Arrow keys turn it, shift with arrows moves it, plus and minus zoom.`);
  showVerdict(shown.current);
  showAbout(shown.current);
  const [before, after] = [state.at - 1, state.at + 1];
  byId("previous").disabled = before < 0 && !payload.previous;
  byId("next").disabled = after >= frames.length && !payload.next;
}

/** Show the views of the model as thumbnails, if it has several. */
function showStrip() {
  const strip = byId("strip");
  strip.hidden = shown.family.length < 2;
  strip.replaceChildren();
  if (shown.family.length < 2) return;
  for (const frame of shown.family) {
    const button = document.createElement("button");
    button.dataset.at = frames.indexOf(frame);
    button.type = "button";
    button.setAttribute("aria-label", `view ${frame.coded.view}`);
    const thumbnail = document.createElement("canvas");
    thumbnail.setAttribute("aria-hidden", "true");
    [thumbnail.width, thumbnail.height] = [frame.width, frame.height];
    const image = new ImageData(frame.width, frame.height);
    const words = new Uint32Array(image.data.buffer);
    paintImage(frame, words);
    thumbnail.getContext("2d").putImageData(image, 0, 0);
    const label = document.createElement("span");
    label.textContent = frame.coded.view;
    button.append(thumbnail, label);
    button.addEventListener("click", () => go(frames.indexOf(frame)));
    strip.append(button);
  }
}

/** Go to the next or previous row: in this page, else on the page beside it. */
export function turnPage(way) {
  const index = state.at + way;
  if (index >= 0 && index < frames.length) go(index);
  else if (way < 0 ? payload.previous : payload.next) location.href = way < 0 ? payload.previous : payload.next;
}

