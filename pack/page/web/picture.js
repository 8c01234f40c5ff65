// The image panel: pixels as squares, what layers draw upon them, and the marked pixel.

import { cssColour } from "./colour.js";
import { fitCanvas, listen } from "./gestures.js";
import { chosenMasks } from "./layers.js";

export class PicturePanel {
  /** The listener sets `calls`: mark(u, v, pins) of the pixel under the pointer, and unmark(). */
  constructor(canvas) {
    this.canvas = canvas;
    this.calls = {};
    this.source = document.createElement("canvas");
    this.reset();
    const point = (pins) => (x, y) => {
      const [u, v] = this.pixelAt(x, y);
      if (u >= 0 && v >= 0 && u < this.frame.width && v < this.frame.height) this.calls.mark(u, v, pins);
      else if (!pins) this.calls.unmark();
    };
    listen(canvas, {
      hover: point(false),
      tap: point(true),
      leave: () => this.calls.unmark(),
      drag: (dx, dy) => this.move(dx, dy),
      zoom: (factor, x, y) => this.zoom(factor, x, y),
    });
    canvas.addEventListener("dblclick", () => {
      this.reset();
      this.draw();
    });
  }

  reset() {
    this.magnified = 1;
    this.canvas.style.touchAction = "";
    this.middle = [0.5, 0.5]; // what part of the image is in the middle of the panel
  }

  /** CSS pixels an image pixel. */
  get scale() {
    const { clientWidth, clientHeight } = this.canvas;
    return Math.min(clientWidth / this.frame.width, clientHeight / this.frame.height) * this.magnified;
  }

  /** Where an image position lies in the panel, CSS pixels. */
  place(u, v) {
    const { canvas, frame, scale, middle } = this;
    return [
      canvas.clientWidth / 2 + (u - middle[0] * frame.width) * scale,
      canvas.clientHeight / 2 + (v - middle[1] * frame.height) * scale,
    ];
  }

  pixelAt(x, y) {
    const [left, top] = this.place(0, 0);
    return [Math.floor((x - left) / this.scale), Math.floor((y - top) / this.scale)];
  }

  move(dx, dy) {
    if (this.magnified === 1) return;
    this.middle = [this.middle[0] - dx / this.scale / this.frame.width, this.middle[1] - dy / this.scale / this.frame.height];
    this.hold();
    this.draw();
  }

  zoom(factor, x, y) {
    const [left, top] = this.place(0, 0);
    const at = [(x - left) / this.scale, (y - top) / this.scale];
    this.magnified = Math.min(Math.max(this.magnified * factor, 1), 32);
    const [newLeft, newTop] = this.place(...at);
    this.middle = [
      this.middle[0] + (newLeft - x) / this.scale / this.frame.width,
      this.middle[1] + (newTop - y) / this.scale / this.frame.height,
    ];
    this.canvas.style.touchAction = this.magnified > 1 ? "none" : ""; // a finger moves the image, or else the page
    this.hold();
    this.draw();
  }

  /** Keep the image over the panel. */
  hold() {
    const rest = 0.5 / this.magnified;
    this.middle = this.middle.map((value) => Math.min(Math.max(value, rest), 1 - rest));
  }

  /** Take over what to show; `pixels` and `colours` are words, see layers.js. */
  show(frame, state, look, pixels, colours) {
    Object.assign(this, { frame, state, look, colours });
    [this.source.width, this.source.height] = [frame.width, frame.height];
    const image = new ImageData(frame.width, frame.height);
    new Uint32Array(image.data.buffer).set(pixels);
    this.source.getContext("2d").putImageData(image, 0, 0);
    this.draw();
  }

  draw() {
    if (!this.frame) return;
    const [width, height, fine] = fitCanvas(this.canvas, 3);
    const pen = this.canvas.getContext("2d");
    pen.setTransform(fine, 0, 0, fine, 0, 0);
    pen.clearRect(0, 0, width, height);
    pen.imageSmoothingEnabled = false;
    const { frame, state, scale } = this;
    const [left, top] = this.place(0, 0);
    pen.drawImage(this.source, left, top, frame.width * scale, frame.height * scale);
    const masks = chosenMasks(frame, state);
    if (masks) this.drawCells(pen, masks);
    if (state.dots) this.drawDots(pen, masks);
    if (frame.verdict.pixel < frame.count) this.drawFaults(pen);
    if (state.mark) this.drawMark(pen, state.mark);
  }

  /** Hide the masked cells behind hatching, and draw the grid. */
  drawCells(pen, masks) {
    const { frame, look } = this;
    const [rows, columns] = frame.grid;
    const [cellWidth, cellHeight] = [frame.width / columns, frame.height / rows];
    const [left, top] = this.place(0, 0);
    const [stepX, stepY] = [cellWidth * this.scale, cellHeight * this.scale];
    pen.save();
    const hidden = new Path2D();
    for (let row = 0; row < rows; row++)
      for (let column = 0; column < columns; column++)
        if (masks.cells[row * columns + column]) hidden.rect(left + column * stepX, top + row * stepY, stepX, stepY);
    pen.fillStyle = look.veil;
    pen.fill(hidden);
    pen.clip(hidden);
    pen.strokeStyle = look.hatch;
    pen.lineWidth = 1;
    pen.beginPath();
    const [wide, high] = [columns * stepX, rows * stepY];
    for (let x = -high; x < wide; x += 7) {
      pen.moveTo(left + x, top + high);
      pen.lineTo(left + x + high, top);
    }
    pen.stroke();
    pen.restore();
    pen.strokeStyle = look.grid;
    pen.lineWidth = 0.75;
    pen.beginPath();
    for (let column = 0; column <= columns; column++) {
      pen.moveTo(left + column * stepX, top);
      pen.lineTo(left + column * stepX, top + high);
    }
    for (let row = 0; row <= rows; row++) {
      pen.moveTo(left, top + row * stepY);
      pen.lineTo(left + wide, top + row * stepY);
    }
    pen.stroke();
  }

  /** A dot on the pixel of each stored point; with masks, of each patch's centre, which decides its cell. */
  drawDots(pen, masks) {
    const { frame, colours, look } = this;
    const many = masks ? masks.points.length : frame.count;
    const size = masks ? Math.max(3.2, this.scale * 1.1) : Math.max(1.1, this.scale * (this.state.layer === "patches" ? 0.7 : 0.42));
    for (let i = many - 1; i >= 0; i--) {
      const [x, y] = this.place(frame.pixels[2 * i] + 0.5, frame.pixels[2 * i + 1] + 0.5);
      pen.beginPath();
      pen.arc(x, y, size, 0, 7);
      const colour = masks ? (masks.points[i] ? look.masked : look.visible) : colours[i];
      pen.fillStyle = cssColour(colour);
      pen.fill();
      if (!masks && this.state.layer === "patches") continue;
      pen.lineWidth = masks ? 1.2 : 0.6;
      pen.strokeStyle = masks ? look.halo : look.rim;
      pen.stroke();
    }
  }

  /** Of each point that does not project into its pixel, the way from the pixel to where it projects. */
  drawFaults(pen) {
    const { frame, look } = this;
    const limit = 4 * (frame.width + frame.height);
    pen.strokeStyle = pen.fillStyle = cssColour(look.fault);
    pen.lineWidth = Math.max(1.4, this.scale * 0.2);
    pen.beginPath();
    for (let i = 0; i < frame.count; i++) {
      if (!frame.wrong[i]) continue;
      const [u, v] = [frame.projected[2 * i], frame.projected[2 * i + 1]];
      if (!(Math.abs(u) < limit && Math.abs(v) < limit)) continue;
      pen.moveTo(...this.place(frame.pixels[2 * i] + 0.5, frame.pixels[2 * i + 1] + 0.5));
      pen.lineTo(...this.place(u, v));
    }
    pen.stroke();
  }

  drawMark(pen, mark) {
    const { frame, look, scale } = this;
    const [u, v] = mark.pixel;
    const half = Math.max(scale / 2, 4.5);
    const [x, y] = this.place(u + 0.5, v + 0.5);
    const [left, top] = this.place(0, 0);
    const [right, bottom] = this.place(frame.width, frame.height);
    const cross = new Path2D();
    for (const [x1, y1, x2, y2] of [
      [left, y, x - half, y],
      [x + half, y, right, y],
      [x, top, x, y - half],
      [x, y + half, x, bottom],
    ]) {
      cross.moveTo(x1, y1);
      cross.lineTo(x2, y2);
    }
    pen.strokeStyle = look.thread;
    pen.lineWidth = 1;
    pen.stroke(cross);
    for (const [colour, line] of [[look.halo, 5], [cssColour(look.mark), 2.2]]) {
      pen.strokeStyle = colour;
      pen.lineWidth = line;
      pen.strokeRect(x - half, y - half, 2 * half, 2 * half);
    }
  }
}
