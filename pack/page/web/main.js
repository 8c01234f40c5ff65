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

// ---- marks ----

/** A mark on a pixel: its stored point, its reconstructed point, and the place that its depth tells. */
function markOfPixel(frame, u, v) {
  const place = v * frame.width + u;
  const [stored, full] = [frame.storedAt[place], frame.fullAt[place]];
  return completeMark({ frame, pixel: [u, v], stored, full });
}

/** A mark on a stored point: the pixel is the one that is stored with it, right or wrong. */
function markOfStored(frame, stored) {
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

function markFromCloud(set, index, pins) {
  const { frame, kind } = set;
  if (pins && frame !== current) go(frames.indexOf(frame));
  if (kind === "stored") setMark(markOfStored(frame, index), pins);
  else {
    const place = set.places[index];
    setMark(markOfPixel(frame, place % frame.width, Math.floor(place / frame.width)), pins);
  }
}

/** Mark, or unmark with null. A pinned mark stays until another is pinned, or it is let go. */
function setMark(mark, pins) {
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

function drawMarked() {
  const own = state.mark && state.mark.frame === current ? state.mark : null;
  picture.state = { ...state, mark: own };
  picture.draw();
  cloud.refresh();
  showReadout(current, state);
  drawLoupe(byId("loupe"), current, state, pixels, look);
  if (state.layer === "depth") drawDepthScale(byId("depth-scale"), current, state, look);
}

// ---- what is drawn ----

function readLook() {
  const style = getComputedStyle(document.documentElement);
  const css = (name) => style.getPropertyValue(`--${name}`).trim();
  look = { font: css("font"), depthOfShade: Number(css("shade")) };
  for (const name of ["ink", "faint", "halo", "rim", "grid", "veil", "hatch", "thread"]) look[name] = css(name);
  for (const name of ["panel", "mark", "fault", "masked", "visible", "none"]) look[name] = parseColour(css(name));
}

/** The sets of points of a view: those stored or all, and what the layer adds. */
function pointSets(frame) {
  const own = frame === current;
  const words = own ? pixels : pixelColours(frame, state, look);
  const pitch = frame.near > 0 ? (frame.near + frame.far) / 2 / frame.camera.fx : 0.003; // object units a pixel
  const about = ["patches", "mask", "network"].includes(state.layer);
  const sets = [];
  if (state.cloud === "stored" || about)
    sets.push({
      kind: "stored",
      points: frame.points,
      colours: storedColours(frame, state, look, words),
      radius: 0.66 * pitch * Math.sqrt(Math.max(frame.fullCount, frame.count) / frame.count) * state.size,
      smallest: 1,
    });
  if (state.cloud === "all")
    sets.push({
      kind: about ? "none" : "full",
      points: frame.full,
      places: frame.fullPlace,
      colours: fullColours(frame, state, look, words),
      radius: (about ? 0.45 : 0.75) * pitch * state.size,
      smallest: about ? 0 : 1,
    });
  return sets.map((set) => ({ ...set, frame }));
}

/** The image where it stands in the frustum, what is nothing cut out: each pixel a splat that can be pointed at. */
function imagePlane(frame) {
  const masks = chosenMasks(frame, state);
  const depth = PLANE * CloudPanel.reach(frame);
  const every = Math.max(1, Math.ceil(Math.sqrt(frame.fullCount / 16000)));
  const places = Array.from(frame.fullPlace).filter((place) => {
    const [u, v] = [place % frame.width, Math.floor(place / frame.width)];
    return u % every === 0 && v % every === 0 && !(masks && cellMasked(frame, masks, place));
  });
  const points = new Float32Array(3 * places.length);
  places.forEach((place, i) => {
    const [u, v] = [place % frame.width, Math.floor(place / frame.width)];
    points.set(frame.camera.unproject(u + every / 2, v + every / 2, depth), 3 * i);
  });
  return {
    kind: "plane",
    frame,
    places,
    points,
    colours: Uint32Array.from(places, (place) => pixels[place]),
    radius: (0.75 * every * depth) / frame.camera.fx,
    smallest: 0,
  };
}

/** Two panes of the same view: masked patches as they are, and as the network draws them. */
function networkPanes(frame) {
  const sets = pointSets(frame);
  const stored = sets.find((set) => set.kind === "stored");
  const masks = chosenMasks(frame, state);
  const [, patches, size] = frame.network.patches.shape;
  const floats = 3 * size;
  const predicted = [];
  for (let g = 0; g < patches; g++) {
    const from = (state.networkSeed * patches + g) * floats;
    if (masks.points[g]) predicted.push(...frame.network.patches.subarray(from, from + floats));
  }
  const keep = Array.from({ length: frame.count }, (_, i) => i).filter((i) => stored.colours[i] !== look.masked);
  const visible = {
    ...stored,
    kind: "none",
    points: Float32Array.from(keep.flatMap((i) => [...frame.points.subarray(3 * i, 3 * i + 3)])),
    colours: Uint32Array.from(keep, (i) => stored.colours[i]),
  };
  const drawn = {
    ...stored,
    kind: "none",
    points: Float32Array.from(predicted),
    colours: new Uint32Array(predicted.length / 3).fill(look.masked),
  };
  return [
    { title: "the truth", sets },
    { title: "the network", sets: [visible, drawn] },
  ];
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

function showLegends() {
  for (const box of document.querySelectorAll("[data-legend]"))
    box.hidden = !box.dataset.legend.split(" ").includes(state.layer);
  if (state.layer === "depth") drawDepthScale(byId("depth-scale"), current, state, look);
  if (state.layer === "normal") {
    drawNormalBall(byId("normal-ball"));
    put("normal-source", current.normal ? "as rendered" : "from the depth of neighbouring pixels");
  }
  if (state.layer === "mask") describeMask();
  if (state.layer === "network") describeNetwork();
}

function describeMask() {
  const { masks, grid } = current;
  byId("ratio").max = masks.ratios.length - 1;
  byId("seed").max = masks.seeds.length - 1;
  byId("ratio").value = state.mask.ratio;
  byId("seed").value = state.mask.seed;
  byId("ratio").setAttribute("aria-valuetext", masks.ratios[state.mask.ratio]);
  put("ratio-value", masks.ratios[state.mask.ratio].toFixed(2).replace(/0$/, ""));
  put("seed-value", String(masks.seeds[state.mask.seed]));
  put("mask-said", maskSummary(chosenMasks(current, state), grid));
}

function maskSummary(masks, [rows, columns]) {
  const sum = (array) => array.reduce((total, value) => total + value, 0);
  const [hiddenPatches, hiddenCells] = [sum(masks.points), sum(masks.cells)];
  let shared = 0;
  masks.points.forEach((masked, g) => {
    const [row, column] = current.cellOf(current.pixels[2 * g], current.pixels[2 * g + 1]);
    if (masked && !masks.cells[row * columns + column]) shared += 1;
  });
  return (
    `${hiddenPatches} of ${masks.points.length} patches and ${hiddenCells} of ${rows * columns} image cells are masked. ` +
    `The image shows ${shared} of the ${hiddenPatches} masked patches.`
  );
}

function describeNetwork() {
  const { network, grid } = current;
  byId("network-seed").max = network.seeds.length - 1;
  put("network-seed-value", String(network.seeds[state.networkSeed]));
  put("network-said",
    `${network.about} ${maskSummary(chosenMasks(current, state), grid)} ` +
    `Chamfer distance ${network.chamfer[state.networkSeed].toPrecision(3)} (squared, in the normalised frame).`);
}

// ---- views ----

/** Show another view; its model's other views are loaded with it. */
async function go(index) {
  const target = frames[index];
  const same = (frame) => frame.coded.synset === target.coded.synset && frame.coded.model_id === target.coded.model_id;
  const loaded = await Promise.all(frames.filter(same).map((frame) => frame.load()));
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

// ---- controls ----

function choose(name, value) {
  const input = document.querySelector(`input[name=${name}][value="${value}"]`);
  if (!input || input.disabled) return;
  input.checked = true;
  if (name in state) state[name] = value;
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  try {
    localStorage.setItem("cma3d-theme", theme);
  } catch {
    // a browser may forbid it to files
  }
  readLook();
  if (current) redraw();
}

function firstTheme() {
  try {
    const kept = localStorage.getItem("cma3d-theme");
    if (kept === "light" || kept === "dark") return kept;
  } catch {
    // as above
  }
  return window.matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
}

function wire() {
  const on = (id, type, call) => byId(id).addEventListener(type, call);
  for (const name of ["layer", "cloud"])
    for (const input of document.querySelectorAll(`input[name=${name}]`))
      input.addEventListener("change", () => {
        state[name] = input.value;
        if (name === "layer") {
          state.dots = input.value === "patches" || input.value === "mask" || input.value === "network";
          byId("dots").checked = state.dots;
        }
        redraw();
      });
  for (const name of ["others", "cameras", "dots"])
    on(name, "change", () => {
      state[name] = byId(name).checked;
      redraw();
    });
  for (const input of document.querySelectorAll("input[name=strategy]"))
    input.addEventListener("change", () => {
      state.mask.strategy = Number(input.value);
      redraw();
    });
  for (const name of ["ratio", "seed"])
    on(name, "input", () => {
      state.mask[name] = Number(byId(name).value);
      redraw();
    });
  on("collisions", "change", () => {
    state.mask.collisions = byId("collisions").checked;
    redraw();
  });
  on("network-seed", "input", () => {
    state.networkSeed = Number(byId("network-seed").value);
    redraw();
  });
  on("size", "input", () => {
    state.size = 1.25 ** Number(byId("size").value);
    redraw();
  });
  for (const button of document.querySelectorAll("[data-go]"))
    button.addEventListener("click", () => cloud.go(button.dataset.go));
  on("previous", "click", () => turnPage(-1));
  on("next", "click", () => turnPage(1));
  on("theme", "click", () => setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark"));
  on("help", "click", () => byId("keys").showModal());
  on("keys-close", "click", () => byId("keys").close());
  on("pin", "click", () => setMark(null, true));
  on("picture", "keydown", pictureKey);
  document.addEventListener("keydown", pageKey);
  new ResizeObserver(() => {
    if (!current) return;
    picture.draw();
    cloud.refresh();
    drawMarked();
  }).observe(byId("stage"));
}

/** Arrow keys move the marked pixel, by ten with shift. */
function pictureKey(event) {
  const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const way = ways[event.key];
  if (!way || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  event.stopPropagation();
  const middle = current.place.find((place) => place !== NO_PIXEL) ?? 0;
  const from = state.mark && state.mark.frame === current ? state.mark.pixel : [middle % current.width, Math.floor(middle / current.width)];
  const step = event.shiftKey ? 10 : 1;
  const clamp = (value, size) => Math.min(Math.max(value, 0), size - 1);
  const [u, v] = [clamp(from[0] + step * way[0], current.width), clamp(from[1] + step * way[1], current.height)];
  setMark(markOfPixel(current, u, v), true);
}

function pageKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || byId("keys").open) return;
  if (["INPUT", "SELECT", "TEXTAREA"].includes(event.target.tagName) && event.key !== "Escape") {
    if (event.target.type === "range" || event.key.startsWith("Arrow") || event.key === " ") return;
  }
  const keys = {
    Escape: () => setMark(null, true),
    n: () => turnPage(1),
    p: () => turnPage(-1),
    o: () => cloud.go("object"),
    s: () => cloud.go("scene"),
    c: () => cloud.go("camera"),
    0: () => {
      picture.reset();
      picture.draw();
      cloud.go("scene");
    },
    a: () => {
      choose("cloud", state.cloud === "all" ? "stored" : "all");
      redraw();
    },
    t: () => byId("theme").click(),
    "?": () => byId("keys").showModal(),
  };
  const layers = [...document.querySelectorAll("input[name=layer]")];
  if (keys[event.key]) keys[event.key]();
  else if (layers[Number(event.key) - 1] && !layers[Number(event.key) - 1].disabled) layers[Number(event.key) - 1].click();
  else return;
  event.preventDefault();
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
