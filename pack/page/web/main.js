// What is shown, and what changes it.

const payload = JSON.parse(document.getElementById("payload").textContent);
const frames = payload.frames.map((coded) => new Frame(coded));
const byId = (id) => document.getElementById(id);

const state = {
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

let look = null; // colours of the theme
let wanted = null; // the view asked for last
let current = null; // the view shown, loaded
let family = []; // all views of its model, loaded
let pixels = null; // words of the image as the layer has it

const picture = new PicturePanel(byId("picture"), {
  mark: (u, v, pins) => setMark(markOfPixel(current, u, v), pins),
  unmark: () => setMark(null, false),
});
const cloud = new CloudPanel(byId("cloud"), {
  mark: markFromCloud,
  unmark: (pins) => setMark(null, pins),
  choose: (frame) => go(frames.indexOf(frame)),
});

function readLook() {
  const style = getComputedStyle(document.documentElement);
  const css = (name) => style.getPropertyValue(`--${name}`).trim();
  look = { font: css("font"), depthOfShade: Number(css("shade")) };
  for (const name of ["ink", "faint", "halo", "rim", "grid", "veil", "hatch", "thread"]) look[name] = css(name);
  for (const name of ["panel", "mark", "fault", "masked", "visible", "none"]) look[name] = parseColour(css(name));
}

/** Draw everything anew: after another view, layer or theme. */
function redraw() {
  pixels = pixelColours(current, state, look);
  const colours = storedColours(current, state, look, pixels);
  picture.show(current, state, look, pixels, colours);
  let panes;
  if (state.layer === "network") panes = networkPanes(current);
  else {
    const sets = pointSets(current);
    if (state.others) for (const frame of family) if (frame !== current) sets.push(...pointSets(frame));
    if (state.cameras) sets.push(imagePlane(current));
    panes = [{ title: "", sets }];
  }
  const paneCount = cloud.panes.length;
  cloud.show(panes, family, current, state, look);
  if (paneCount && paneCount !== panes.length) cloud.go(panes.length > 1 ? "object" : "scene", true);
  showLegends();
  drawMarked();
}

// ---- views ----

/** Show another view; its model's other views are loaded with it. */
async function go(index) {
  const target = (wanted = frames[index]);
  const same = (frame) => frame.coded.synset === target.coded.synset && frame.coded.model_id === target.coded.model_id;
  const loaded = await Promise.all(frames.filter(same).map((frame) => frame.load()));
  if (wanted !== target) return; // meanwhile another was asked for
  for (const frame of loaded) frame.table = payload.viridis;
  const other = !current || !same(current);
  state.at = index;
  current = target;
  family = loaded;
  if (!state.mark || state.mark.frame !== current) {
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
  const has = { patches: current.patches, mask: current.masks, network: current.network };
  for (const [layer, arrays] of Object.entries(has)) {
    const input = document.querySelector(`input[name=layer][value=${layer}]`);
    input.disabled = !arrays;
    input.closest("label").title = arrays ? "" : payload.missing[layer] ?? current.coded.missing ?? "";
    if (!arrays && state.layer === layer) choose("layer", "rgb");
  }
  document.querySelector("input[name=layer][value=network]").closest("label").hidden = !payload.run;
  byId("missing").hidden = Boolean(current.masks);
  put("missing", current.masks ? "" : payload.missing.mask ?? current.coded.missing ?? "");
  if (current.masks && !state.mask) {
    const { strategies, ratios, preferred } = current.masks;
    state.mask = { strategy: strategies.indexOf(preferred.strategy), ratio: ratios.indexOf(preferred.ratio), seed: 0, collisions: preferred.collisions };
    choose("strategy", String(state.mask.strategy));
    byId("collisions").checked = state.mask.collisions;
  }
  byId("others-box").hidden = family.length < 2;
}

function describeView() {
  const { coded } = current;
  put("name", coded.name);
  put("model", `${coded.synset}/${coded.model_id}`);
  put("view", `view ${coded.view}`);
  put("row", `${payload.unit} ${coded.row} of ${figures(payload.total)}`);
  document.title = `${coded.name} ${coded.model_id} · ${payload.unit} ${coded.row}`;
  put("picture-size", `${current.width} × ${current.height}`);
  put("count-stored", figures(current.count));
  put("count-all", figures(current.fullCount));
  byId("picture").setAttribute("aria-label",
    `Image of ${coded.name}, ${current.width} by ${current.height} pixels. Arrow keys move the marked pixel.`);
  byId("cloud").setAttribute("aria-label",
    `Point cloud of ${coded.name}, ${current.count} points. Arrow keys turn it, shift with arrows moves it, plus and minus zoom.`);
  showVerdict(current);
  showAbout(current);
  const [before, after] = [state.at - 1, state.at + 1];
  byId("previous").disabled = before < 0 && !payload.previous;
  byId("next").disabled = after >= frames.length && !payload.next;
}

/** The views of the model as thumbnails; none where it has but one. */
function showStrip() {
  const strip = byId("strip");
  strip.hidden = family.length < 2;
  strip.replaceChildren();
  if (family.length < 2) return;
  for (const frame of family) {
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
function turnPage(way) {
  const index = state.at + way;
  if (index >= 0 && index < frames.length) go(index);
  else if (way < 0 ? payload.previous : payload.next) location.href = way < 0 ? payload.previous : payload.next;
}

/** For scripts and tests: what is shown, and where on the screen it lies. */
window.cma3d = {
  state,
  get frame() {
    return current;
  },
  cloud,
  picture,
  go,
  /** Stored points that are drawn at their own place in the cloud: [index, x, y], CSS pixels of the page. */
  drawnPoints() {
    cloud.draw();
    const box = byId("cloud").getBoundingClientRect();
    const [width, height] = cloud.paneSize;
    const found = [];
    for (let i = 0; i < current.count; i++) {
      const [x, y] = cloud.orbit.project([...current.points.subarray(3 * i, 3 * i + 3)], width, height);
      const hit = cloud.pick(x, y);
      if (hit && hit.set.kind === "stored" && hit.index === i && hit.set.frame === current)
        found.push([i, box.left + x, box.top + y]);
    }
    return found;
  },
};

async function begin() {
  if (typeof DecompressionStream === "undefined") {
    byId("old").hidden = false;
    return;
  }
  payload.viridis = await decodeArray(payload.viridis);
  setTheme(firstTheme());
  wire();
  await go(state.at);
  document.documentElement.dataset.ready = "yes";
}

begin().catch((error) => {
  byId("old").hidden = false;
  put("old", `This page cannot be shown: ${error.message}`);
  throw error;
});
