// What is marked: a pixel, the point stored with it, and the point that its depth tells.

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
