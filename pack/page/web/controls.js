// Buttons, switches and keys.

import { NO_PIXEL } from "./frame.js";
import { drawMarked, markOfPixel, setMark } from "./marks.js";
import { cloud, picture, readLook, shown, state } from "./session.js";
import { byId } from "./text.js";
import { keepTheme, otherTheme } from "./theme.js";
import { choose, redraw, turnPage } from "./views.js";

export function setTheme(theme) {
  keepTheme(theme);
  readLook();
  if (shown.current) redraw();
}

export function wire() {
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
  on("theme", "click", () => setTheme(otherTheme()));
  on("help", "click", () => byId("keys").showModal());
  on("keys-close", "click", () => byId("keys").close());
  on("pin", "click", () => setMark(null, true));
  on("picture", "keydown", pictureKey);
  document.addEventListener("keydown", pageKey);
  new ResizeObserver(() => {
    if (!shown.current) return;
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
  const middle = shown.current.place.find((place) => place !== NO_PIXEL) ?? 0;
  const from = state.mark && state.mark.frame === shown.current ? state.mark.pixel : [middle % shown.current.width, Math.floor(middle / shown.current.width)];
  const step = event.shiftKey ? 10 : 1;
  const clamp = (value, size) => Math.min(Math.max(value, 0), size - 1);
  const [u, v] = [clamp(from[0] + step * way[0], shown.current.width), clamp(from[1] + step * way[1], shown.current.height)];
  setMark(markOfPixel(shown.current, u, v), true);
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
