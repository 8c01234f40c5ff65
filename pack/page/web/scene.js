// The scene: points, the image in the frustum, and a network's reconstruction of the masked patches.

import { CloudPanel, PLANE } from "./cloud.js";
import { cellMasked, chosenMasks, fullColours, pixelColours, storedColours } from "./layers.js";
import { shown, state } from "./session.js";

/** The sets of points of a view: those stored or all, and what the layer adds. */
export function pointSets(frame) {
  const own = frame === shown.current;
  const words = own ? shown.pixels : pixelColours(frame, state, shown.look);
  const pitch = frame.near > 0 ? (frame.near + frame.far) / 2 / frame.camera.fx : 0.003; // object units a pixel
  const about = ["patches", "mask", "network"].includes(state.layer);
  const sets = [];
  if (state.cloud === "stored" || about)
    sets.push({
      kind: "stored",
      points: frame.points,
      colours: storedColours(frame, state, shown.look, words),
      radius: 0.66 * pitch * Math.sqrt(Math.max(frame.fullCount, frame.count) / frame.count) * state.size,
      smallest: 1,
    });
  if (state.cloud === "all")
    sets.push({
      kind: about ? "none" : "full",
      points: frame.full,
      places: frame.fullPlace,
      colours: fullColours(frame, state, shown.look, words),
      radius: (about ? 0.45 : 0.75) * pitch * state.size,
      smallest: about ? 0 : 1,
    });
  return sets.map((set) => ({ ...set, frame }));
}

/** The image where it stands in the frustum, what is nothing cut out: each pixel a splat that can be pointed at. */
export function imagePlane(frame) {
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
    colours: Uint32Array.from(places, (place) => shown.pixels[place]),
    radius: (0.75 * every * depth) / frame.camera.fx,
    smallest: 0,
  };
}

/** Two panes of the same view: masked patches as they are, and as the network reconstructs them. */
export function networkPanes(frame) {
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
  const keep = Array.from({ length: frame.count }, (_, i) => i).filter((i) => stored.colours[i] !== shown.look.masked);
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
    colours: new Uint32Array(predicted.length / 3).fill(shown.look.masked),
  };
  return [
    { title: "the truth", sets },
    { title: "the network", sets: [visible, drawn] },
  ];
}
