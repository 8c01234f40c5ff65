// One view of a model: the arrays as they are stored, and what follows from them.

import { decodeAll } from "./decode.js";
import { cross, dot, PinholeCamera, plus } from "./geometry.js";

export const NO_PIXEL = -1;

export class Frame {
  constructor(coded) {
    this.coded = coded;
    this.row = coded.row;
    this.loaded = null;
  }

  /** Decode once, at the first call. */
  load() {
    this.loaded ??= decodeAll(this.coded).then((arrays) => {
      Object.assign(this, arrays);
      [this.height, this.width] = this.depth.shape;
      this.camera = new PinholeCamera(this.intrinsics, this.cam_from_obj, this.width, this.height);
      this.count = this.points.shape[0];
      this.reconstruct();
      this.index();
      this.check();
      return this;
    });
    return this.loaded;
  }

  /** Lift every pixel with depth to its point: `full`, in the order of the pixels, as back_project does. */
  reconstruct() {
    const { depth, width, height, camera } = this;
    this.fullAt = new Int32Array(depth.length).fill(-1);
    const places = [];
    let [near, far] = [Infinity, -Infinity];
    for (let place = 0; place < depth.length; place++) {
      if (!(depth[place] > 0 && depth[place] < Infinity)) continue;
      this.fullAt[place] = places.length;
      places.push(place);
      near = Math.min(near, depth[place]);
      far = Math.max(far, depth[place]);
    }
    this.fullPlace = Uint32Array.from(places);
    this.fullCount = places.length;
    this.full = new Float32Array(3 * places.length);
    places.forEach((place, j) => {
      const point = camera.unproject((place % width) + 0.5, Math.floor(place / width) + 0.5, depth[place]);
      this.full.set(point, 3 * j);
    });
    this.near = places.length ? near : 0;
    this.far = places.length ? far : 1;
    this.box = boundingBox(this.fullCount ? this.full : this.points);
  }

  /** Where each stored point's pixel lies in the image; -1 where it lies outside. */
  index() {
    const { pixels, width, height } = this;
    this.storedAt = new Int32Array(width * height).fill(-1);
    this.place = new Int32Array(this.count);
    for (let i = this.count - 1; i >= 0; i--) {
      const [u, v] = [pixels[2 * i], pixels[2 * i + 1]];
      this.place[i] = u < width && v < height ? v * width + u : NO_PIXEL;
      if (this.place[i] !== NO_PIXEL) this.storedAt[this.place[i]] = i; // of several points the first counts
    }
  }

  /** Hold every stored point against its stored pixel and that pixel's depth. */
  check() {
    const { points, pixels, camera, count } = this;
    this.projected = new Float64Array(2 * count);
    this.wrong = new Uint8Array(count);
    const verdict = { count, pixel: 0, point: 0, centre: 0, reach: 0 };
    for (let i = 0; i < count; i++) {
      const point = [points[3 * i], points[3 * i + 1], points[3 * i + 2]];
      const [u, v, z] = camera.project(point);
      this.projected.set([u, v], 2 * i);
      const right = z > 0 && Math.floor(u) === pixels[2 * i] && Math.floor(v) === pixels[2 * i + 1];
      this.wrong[i] = right ? 0 : 1;
      verdict.pixel += right ? 1 : 0;
      const off = Math.max(Math.abs(u - pixels[2 * i] - 0.5), Math.abs(v - pixels[2 * i + 1] - 0.5));
      verdict.centre = Math.max(verdict.centre, Number.isFinite(off) && z > 0 ? off : Infinity);
      const depth = this.place[i] === NO_PIXEL ? 0 : this.depth[this.place[i]];
      if (!(depth > 0)) continue;
      const derived = camera.unproject(pixels[2 * i] + 0.5, pixels[2 * i + 1] + 0.5, depth);
      const excess = derived.map((value, axis) => Math.abs(value - point[axis]) - rounding(point[axis]));
      verdict.point += Math.max(...excess) <= 1e-9 ? 1 : 0;
    }
    this.verdict = verdict;
  }

  /** Normals in the camera frame, three a pixel: as rendered, or from the depth of the neighbours. */
  get normals() {
    this.cachedNormals ??= this.normal ? this.renderedNormals() : this.depthNormals();
    return this.cachedNormals;
  }

  renderedNormals() {
    const turned = new Float32Array(3 * this.width * this.height);
    for (const place of this.fullPlace) {
      const stored = [0, 1, 2].map((axis) => (this.normal[3 * place + axis] - 128) / 127);
      turned.set(this.camera.rows.map((row) => dot(row, stored)), 3 * place);
    }
    return turned;
  }

  depthNormals() {
    const { width, height, fullAt, fullPlace, full } = this;
    const found = new Float32Array(3 * width * height);
    const at = (place) => full.subarray(3 * fullAt[place], 3 * fullAt[place] + 3);
    // of the two neighbours the one that is nearer in depth: the other may lie across an edge
    const slope = (place, back, ahead) => {
      const options = [];
      if (back !== null && fullAt[back] >= 0) options.push([at(place), at(back), this.depth[back]]);
      if (ahead !== null && fullAt[ahead] >= 0) options.push([at(ahead), at(place), this.depth[ahead]]);
      if (!options.length) return null;
      options.sort((a, b) => Math.abs(a[2] - this.depth[place]) - Math.abs(b[2] - this.depth[place]));
      return plus(options[0][0], options[0][1], -1);
    };
    for (const place of fullPlace) {
      const [u, v] = [place % width, Math.floor(place / width)];
      const across = slope(place, u > 0 ? place - 1 : null, u + 1 < width ? place + 1 : null);
      const down = slope(place, v > 0 ? place - width : null, v + 1 < height ? place + width : null);
      let normal = [0, 0, -1];
      if (across && down) {
        const inObject = cross(down, across);
        normal = this.camera.rows.map((row) => dot(row, inObject));
        const length = Math.hypot(...normal);
        normal = length > 0 ? normal.map((value) => value / length) : [0, 0, -1]; // it faces the camera
      }
      found.set(normal, 3 * place);
    }
    return found;
  }

  /** The patches that hold each stored point, nearest centre first; empty lists without patches. */
  get patchesOf() {
    this.cachedPatches ??= this.listPatches();
    return this.cachedPatches;
  }

  listPatches() {
    const lists = Array.from({ length: this.count }, () => []);
    if (!this.patches) return lists;
    const [patches, size] = this.patches.shape;
    for (let g = 0; g < patches; g++)
      for (let k = 0; k < size; k++) lists[this.patches[g * size + k]].push(g);
    const { points } = this;
    lists.forEach((list, i) => {
      const away = (g) => Math.hypot(...[0, 1, 2].map((axis) => points[3 * i + axis] - points[3 * g + axis]));
      list.sort((a, b) => away(a) - away(b));
    });
    return lists;
  }

  /** The image cell of a pixel, [row, column], in the grid of the network. */
  cellOf(u, v) {
    const [rows, columns] = this.grid;
    return [Math.floor(((2 * v + 1) * rows) / (2 * this.height)), Math.floor(((2 * u + 1) * columns) / (2 * this.width))];
  }
}

/** Half of what float32 cannot tell apart near a value. */
function rounding(value) {
  const size = Math.abs(value);
  return size > 0 ? 2 ** (Math.floor(Math.log2(size)) - 24) : 2 ** -150;
}

/** The eight corners of the box around points; those that are not finite count for nothing. */
function boundingBox(points) {
  const [low, high] = [[Infinity, Infinity, Infinity], [-Infinity, -Infinity, -Infinity]];
  for (let i = 0; i < points.length; i++) {
    if (!Number.isFinite(points[i])) continue;
    low[i % 3] = Math.min(low[i % 3], points[i]);
    high[i % 3] = Math.max(high[i % 3], points[i]);
  }
  if (!(low[0] <= high[0] && low[1] <= high[1] && low[2] <= high[2])) return [[-1, -1, -1], [1, 1, 1]];
  return Array.from({ length: 8 }, (_, i) => [0, 1, 2].map((axis) => ((i >> axis) & 1 ? high : low)[axis]));
}
