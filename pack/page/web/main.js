// The inspection page: panels and marks joined, and the first view shown.

import { setTheme, wire } from "./controls.js";
import { decodeArray } from "./decode.js";
import { chosenMasks } from "./layers.js";
import { markOfPixel, markOfStored, setMark } from "./marks.js";
import { cloud, frames, payload, picture, shown, state } from "./session.js";
import { byId, put } from "./text.js";
import { firstTheme } from "./theme.js";
import { go } from "./views.js";

function markFromCloud(set, index, pins) {
  const { frame, kind } = set;
  if (pins && frame !== shown.current) go(frames.indexOf(frame));
  if (kind === "stored") setMark(markOfStored(frame, index), pins);
  else {
    const place = set.places[index];
    setMark(markOfPixel(frame, place % frame.width, Math.floor(place / frame.width)), pins);
  }
}

Object.assign(picture.calls, {
  mark: (u, v, pins) => setMark(markOfPixel(shown.current, u, v), pins),
  unmark: () => setMark(null, false),
});
Object.assign(cloud.calls, {
  mark: markFromCloud,
  unmark: (pins) => setMark(null, pins),
  choose: (frame) => go(frames.indexOf(frame)),
});

/** For scripts and tests: what is shown, and where on the screen it lies. */
window.cma3d = {
  state,
  get frame() {
    return shown.current;
  },
  cloud,
  picture,
  go,
  /** The masks of the layer shown, see chosenMasks. */
  get masks() {
    return chosenMasks(shown.current, state);
  },
  /** Stored points that are drawn at their own place in the cloud: [index, x, y], CSS pixels of the page. */
  drawnPoints() {
    cloud.draw();
    const box = byId("cloud").getBoundingClientRect();
    const [width, height] = cloud.paneSize;
    const found = [];
    for (let i = 0; i < shown.current.count; i++) {
      const [x, y] = cloud.orbit.project([...shown.current.points.subarray(3 * i, 3 * i + 3)], width, height);
      const hit = cloud.pick(x, y);
      if (hit && hit.set.kind === "stored" && hit.index === i && hit.set.frame === shown.current)
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
