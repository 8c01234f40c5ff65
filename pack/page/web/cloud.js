// The cloud panel: one or two panes of points seen by one orbiting camera; cameras, frustums and the ray above them.

import { cssColour } from "./colour.js";
import { dot, Orbit, plus } from "./geometry.js";
import { fitCanvas, listen } from "./gestures.js";
import { NOTHING, SplatBuffer } from "./splat.js";

export const PLANE = 0.3; // where the image stands in the frustum, as a share of the way to the object
const SLOW = 45; // milliseconds a picture may take before moving is drawn coarser

/** A direction beside that of a camera: turned about the up axis by an angle, and down from a little above. */
function besides([x, y, z], angle) {
  const [c, s] = [Math.cos(angle), Math.sin(angle)];
  const level = Math.max(Math.hypot(x, z), 0.5);
  const down = Math.min(Math.max(0.6 * y, -0.75), -0.25);
  return [c * x + s * z, down * level, c * z - s * x];
}

export class CloudPanel {
  /** The listener sets `calls`: mark(set, index, pins) of what is under the pointer, unmark(pins), choose(frame). */
  constructor(canvas) {
    this.canvas = canvas;
    this.calls = {};
    this.orbit = new Orbit();
    this.panes = [];
    this.buffers = [new SplatBuffer(), new SplatBuffer()];
    this.surface = document.createElement("canvas");
    this.coarse = 1;
    this.moving = false;
    this.draws = 0; // pictures drawn so far
    this.listen();
  }

  listen() {
    const point = (pins) => (x, y) => {
      const camera = pins ? this.cameraAt(x, y) : null;
      if (camera) return this.calls.choose(camera);
      const hit = this.pick(x, y);
      if (hit) this.calls.mark(hit.set, hit.index, pins);
      else this.calls.unmark(pins);
      return undefined;
    };
    listen(this.canvas, {
      hover: point(false),
      tap: point(true),
      leave: () => this.calls.unmark(false),
      begin: () => (this.moving = true),
      end: () => {
        this.moving = false;
        this.refresh();
      },
      drag: (dx, dy, pans) => {
        this.stop();
        const [width, height] = this.paneSize;
        if (pans) this.orbit.pan(dx, dy, width, height);
        else this.orbit.rotate(dx * 0.009, dy * 0.009);
        this.refresh();
      },
      zoom: (factor) => {
        this.stop();
        this.orbit.zoom(factor);
        this.refresh();
      },
    });
    this.canvas.addEventListener("keydown", (event) => this.key(event));
  }

  key(event) {
    const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const [width, height] = this.paneSize;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (arrows[event.key]) {
      const [dx, dy] = arrows[event.key];
      if (event.shiftKey) this.orbit.pan(24 * dx, 24 * dy, width, height);
      else this.orbit.rotate(0.1 * dx, 0.1 * dy);
    } else if (event.key === "+" || event.key === "=") this.orbit.zoom(1.15);
    else if (event.key === "-") this.orbit.zoom(1 / 1.15);
    else return;
    this.stop();
    event.preventDefault();
    event.stopPropagation();
    this.refresh();
  }

  get paneSize() {
    const { clientWidth, clientHeight } = this.canvas;
    return [clientWidth / Math.max(this.panes.length, 1), clientHeight];
  }

  /** Show panes: each {title, sets}, a set {points, colours, radius, smallest, kind, frame}. */
  show(panes, frames, current, state, look) {
    Object.assign(this, { panes, frames, current, state, look });
    for (const pane of panes) {
      const total = pane.sets.reduce((sum, set) => sum + set.colours.length, 0);
      pane.colours = new Uint32Array(total);
      let first = 0;
      for (const set of pane.sets) {
        set.first = first;
        pane.colours.set(set.colours, first);
        first += set.colours.length;
      }
    }
    this.refresh();
  }

  /** How far the camera stands off the object's middle. */
  static reach(frame) {
    const middle = plus(plus([0, 0, 0], frame.box[0], 0.5), frame.box[7] ?? frame.box[1], 0.5);
    return Math.max(frame.camera.project(middle)[2], 1e-3);
  }

  /** Whether the scene is seen from the camera's own place, where its image would hide all else. */
  get inCamera() {
    return Math.hypot(...plus(this.orbit.eye, this.current.camera.eye, -1)) < 0.5 * PLANE * CloudPanel.reach(this.current);
  }

  /** Go to a place from which "object", "scene" (object and cameras) or "camera" (through it) is seen. */
  go(where, at_once = false) {
    if (!this.current) return;
    const goal = new Orbit();
    const [width, height] = this.paneSize;
    const { current } = this;
    const reach = CloudPanel.reach(current);
    if (where === "camera") {
      goal.through(current.camera, reach, width, height);
    } else {
      goal.face(besides(current.camera.rows[2], where === "scene" ? 0.72 : 0.45));
      const points = [...current.box];
      if (where === "scene")
        for (const frame of this.state.cameras ? this.frames : [current])
          points.push(frame.camera.eye, ...(frame === current ? frame.camera.corners(PLANE * reach) : []));
      goal.fit(points, width, height, where === "scene" ? 1.1 : 1.16);
    }
    this.home = where;
    this.fly(goal, at_once);
  }

  fly(goal, at_once) {
    this.stop();
    const still = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
    if (at_once || still) {
      this.orbit = goal;
      this.refresh();
      return;
    }
    const from = this.orbit.copy();
    const begin = performance.now();
    const next = (now) => {
      const share = Math.min(1, Math.max(0, (now - begin) / 380));
      this.orbit = Orbit.between(from, goal, share * share * (3 - 2 * share));
      if (share === 1) this.orbit = goal;
      this.moving = share < 1;
      this.draw();
      this.flight = share < 1 ? requestAnimationFrame(next) : null;
    };
    this.flight = requestAnimationFrame(next);
  }

  stop() {
    if (this.flight) cancelAnimationFrame(this.flight);
    this.flight = null;
  }

  /** Draw at the next chance, once. */
  refresh() {
    this.waiting ??= requestAnimationFrame(() => {
      this.waiting = null;
      this.draw();
    });
  }

  draw() {
    if (!this.current) return;
    const begin = performance.now();
    const [width, height, fine] = fitCanvas(this.canvas);
    const scale = this.moving ? fine / this.coarse : fine;
    const pen = this.canvas.getContext("2d");
    pen.setTransform(fine, 0, 0, fine, 0, 0);
    pen.clearRect(0, 0, width, height);
    this.panes.forEach((pane, number) => {
      const wide = width / this.panes.length;
      const buffer = this.buffers[number];
      buffer.resize(Math.max(1, Math.round(wide * scale)), Math.max(1, Math.round(height * scale)));
      buffer.clear();
      for (const set of pane.sets)
        if (set.kind !== "plane" || !this.inCamera) buffer.draw(set.points, this.orbit, set.radius, set.first, set.smallest);
      buffer.shade(pane.colours, this.look.depthOfShade, Math.max(1, Math.round(scale)));
      [this.surface.width, this.surface.height] = [buffer.width, buffer.height];
      this.surface.getContext("2d").putImageData(buffer.image, 0, 0);
      pen.save();
      pen.translate(number * wide, 0);
      pen.beginPath();
      pen.rect(0, 0, wide, height);
      pen.clip();
      pen.drawImage(this.surface, 0, 0, wide, height);
      this.drawAbove(pen, pane, buffer, wide, height);
      pen.restore();
    });
    this.took = performance.now() - begin;
    this.draws += 1;
    if (this.moving) this.coarse = this.took > SLOW ? 2 : this.took < SLOW / 5 ? 1 : this.coarse;
  }

  drawAbove(pen, pane, buffer, width, height) {
    const { state, look, current } = this;
    const line = (from, to) => this.line(pen, from, to, width, height);
    if (state.cameras && this.panes.length === 1) {
      for (const frame of this.frames) if (frame !== current) this.drawCamera(pen, frame, width, height, 0.09, look.faint);
      if (!this.inCamera) this.drawCamera(pen, current, width, height, PLANE, look.ink);
    }
    if (state.mark) this.drawMark(pen, state.mark, buffer, width, height, line);
    this.drawAxes(pen, height);
    if (this.panes.length > 1) {
      pen.fillStyle = look.ink;
      pen.font = `600 12px ${look.font}`;
      pen.textAlign = "center";
      pen.fillText(pane.title, width / 2, 20);
    }
  }

  /** A line between two places of the object frame, cut where it passes behind the eye. */
  line(pen, from, to, width, height) {
    const near = 0.02 * this.orbit.distance;
    const depth = (point) => dot(this.orbit.turn[2], plus(point, this.orbit.eye, -1));
    const [a, b] = [depth(from), depth(to)];
    if (a < near && b < near) return;
    const cut = (inside, outside, d, e) => plus(inside, plus(outside, inside, -1), (d - near) / (d - e));
    if (a < near) from = cut(to, from, b, a);
    if (b < near) to = cut(from, to, a, b);
    const [start, end] = [this.orbit.project(from, width, height), this.orbit.project(to, width, height)];
    pen.beginPath();
    pen.moveTo(start[0], start[1]);
    pen.lineTo(end[0], end[1]);
    pen.stroke();
  }

  /** A camera: its frustum up to a share of its way to the object, and its name. */
  drawCamera(pen, frame, width, height, share, colour) {
    const corners = frame.camera.corners(share * CloudPanel.reach(frame));
    pen.strokeStyle = colour;
    pen.lineWidth = frame === this.current ? 1.3 : 1;
    corners.forEach((corner, i) => {
      this.line(pen, frame.camera.eye, corner, width, height);
      this.line(pen, corner, corners[(i + 1) % 4], width, height);
    });
    const [x, y, z] = this.orbit.project(frame.camera.eye, width, height);
    if (z < 0.02 * this.orbit.distance) return;
    pen.fillStyle = colour;
    pen.beginPath();
    pen.arc(x, y, frame === this.current ? 3 : 2.2, 0, 7);
    pen.fill();
    if (this.frames.length < 2 && frame !== this.current) return;
    pen.font = `${frame === this.current ? 600 : 400} 11px ${this.look.font}`;
    pen.textAlign = "center";
    pen.fillText(this.frames.length > 1 ? String(frame.coded.view) : "camera", Math.min(Math.max(x, 24), width - 24), y < 24 ? y + 16 : y - 8);
  }

  /** The ray through the marked pixel, and the marked point. */
  drawMark(pen, mark, buffer, width, height, line) {
    const { look, state } = this;
    const { frame } = mark;
    const mine = cssColour(look.mark);
    const end = mark.onRay ?? frame.camera.unproject(mark.pixel[0] + 0.5, mark.pixel[1] + 0.5, frame.far);
    if (state.cameras && this.panes.length === 1) {
      for (const [colour, thick] of [[look.halo, 3.5], [mine, 1.6]]) {
        pen.strokeStyle = colour;
        pen.lineWidth = thick;
        line(frame.camera.eye, end);
      }
      const depth = PLANE * CloudPanel.reach(frame);
      const [px, py, pz] = this.orbit.project(
        frame.camera.unproject(mark.pixel[0] + 0.5, mark.pixel[1] + 0.5, depth), width, height);
      if (pz > 0) {
        pen.fillStyle = mine;
        pen.fillRect(px - 2.5, py - 2.5, 5, 5);
      }
    }
    if (!mark.point) return;
    if (mark.onRay && Math.hypot(...plus(mark.point, mark.onRay, -1)) > 1e-6) {
      pen.strokeStyle = cssColour(look.fault);
      pen.lineWidth = 2;
      line(mark.onRay, mark.point);
    }
    const [x, y, z] = this.orbit.project(mark.point, width, height);
    if (!(z > 0)) return;
    const fine = buffer.width / width;
    const place = Math.floor(y * fine) * buffer.width + Math.floor(x * fine);
    const hidden = buffer.depth[place] < z - 0.02 * this.orbit.distance;
    pen.setLineDash(hidden ? [3, 3] : []);
    for (const [colour, thick] of [[look.halo, 5], [mine, 2.4]]) {
      pen.strokeStyle = colour;
      pen.lineWidth = thick;
      pen.beginPath();
      pen.arc(x, y, 7, 0, 7);
      pen.stroke();
    }
    pen.setLineDash([]);
  }

  /** The directions of the object frame, in the corner. */
  drawAxes(pen, height) {
    const colours = ["#d1495b", "#3a9a5b", "#3b7dd8"];
    const order = [0, 1, 2].sort((a, b) => this.orbit.turn[2][b] - this.orbit.turn[2][a]);
    pen.font = `600 10px ${this.look.font}`;
    pen.textAlign = "center";
    for (const axis of order) {
      const [x, y] = [this.orbit.turn[0][axis], this.orbit.turn[1][axis]];
      pen.strokeStyle = pen.fillStyle = colours[axis];
      pen.lineWidth = 1.8;
      pen.beginPath();
      pen.moveTo(34, height - 34);
      pen.lineTo(34 + 18 * x, height - 34 + 18 * y);
      pen.stroke();
      pen.fillText("xyz"[axis], 34 + 26 * x, height - 30.5 + 26 * y);
    }
  }

  /** What is drawn at a place of the panel: {set, index}, or null. */
  pick(x, y) {
    const [width] = this.paneSize;
    const number = Math.min(Math.floor(x / width), this.panes.length - 1);
    if (number < 0) return null;
    const buffer = this.buffers[number];
    const fine = buffer.width / width;
    const id = buffer.pick((x - number * width) * fine, y * fine, Math.round(3 * fine));
    if (id === NOTHING) return null;
    const set = this.panes[number].sets.findLast((candidate) => candidate.first <= id);
    return set.kind === "none" ? null : { set, index: id - set.first };
  }

  /** The view whose camera stands at a place of the panel. */
  cameraAt(x, y) {
    if (!this.state.cameras) return null;
    const [width, height] = this.paneSize;
    return this.frames.find((frame) => {
      const [cx, cy, z] = this.orbit.project(frame.camera.eye, width, height);
      return frame !== this.current && z > 0 && Math.hypot(cx - (x % width), cy - y) < 12;
    });
  }
}
