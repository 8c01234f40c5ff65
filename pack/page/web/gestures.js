// Mouse, touch and pen alike: hover, tap, drag with one finger or two, wheel.

const TAP = 5; // pixels that a tap may slip

/**
 * Listen on an element and call what is given of
 * hover(x, y), leave(), tap(x, y), drag(dx, dy, pans, x, y), zoom(factor, x, y), begin(), end(); places are CSS pixels of it.
 */
export function listen(element, calls) {
  const fingers = new Map();
  let slipped = 0;
  let spread = 0;
  const call = (name, ...values) => calls[name] && calls[name](...values);
  const where = (event) => {
    const box = element.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  const measure = () => {
    const [one, two] = [...fingers.values()];
    return Math.hypot(one[0] - two[0], one[1] - two[1]);
  };

  element.addEventListener("pointerdown", (event) => {
    if (event.pointerType === "mouse" && event.button > 2) return;
    element.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, where(event));
    if (fingers.size === 1) {
      slipped = 0;
      call("begin");
    } else {
      slipped = Infinity;
      spread = fingers.size === 2 ? measure() : 0;
    }
  });

  element.addEventListener("pointermove", (event) => {
    const at = where(event);
    const before = fingers.get(event.pointerId);
    if (!before) {
      if (event.pointerType === "mouse" || event.pointerType === "pen") call("hover", ...at);
      return;
    }
    fingers.set(event.pointerId, at);
    const [dx, dy] = [at[0] - before[0], at[1] - before[1]];
    slipped += Math.hypot(dx, dy);
    if (fingers.size === 2) {
      const now = measure();
      const [one, two] = [...fingers.values()];
      const middle = [(one[0] + two[0]) / 2, (one[1] + two[1]) / 2];
      if (spread > 0 && now > 0) call("zoom", now / spread, ...middle);
      spread = now;
      call("drag", dx / 2, dy / 2, true, ...middle);
    } else if (fingers.size === 1 && slipped > TAP) {
      call("drag", dx, dy, event.shiftKey || event.ctrlKey || event.metaKey || (event.buttons & 6) > 0, ...at);
    }
  });

  const lift = (event) => {
    if (!fingers.delete(event.pointerId)) return;
    if (fingers.size === 0) {
      if (event.type === "pointerup" && slipped <= TAP) call("tap", ...where(event));
      call("end");
    }
  };
  element.addEventListener("pointerup", lift);
  element.addEventListener("pointercancel", lift);
  element.addEventListener("pointerleave", (event) => {
    if (event.pointerType === "mouse" && !fingers.size) call("leave");
  });
  element.addEventListener("contextmenu", (event) => event.preventDefault());
  element.addEventListener(
    "wheel",
    (event) => {
      if (!calls.zoom) return;
      event.preventDefault();
      const lines = event.deltaMode === 1 ? 16 : 1;
      call("zoom", Math.exp(-event.deltaY * lines * 0.0015), ...where(event));
      call("end");
    },
    { passive: false },
  );
}

/** Fit a canvas's pixels to its place on the screen; gives [width, height, pixels a CSS pixel]. */
export function fitCanvas(canvas, most = 2) {
  const scale = Math.min(window.devicePixelRatio || 1, most);
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  const [w, h] = [Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale))];
  if (canvas.width !== w || canvas.height !== h) [canvas.width, canvas.height] = [w, h];
  return [width, height, scale];
}
