// Points as round splats with a z-buffer and an id buffer, on a plain canvas: no GPU is needed.

const LARGEST = 14; // radius of a splat in pixels
export const NOTHING = -1;

/** The pixels of a disc of each radius: offsets, and how much farther than its middle each lies, in radii. */
const DISCS = Array.from({ length: LARGEST + 1 }, (_, radius) => {
  const disc = { dx: [], dy: [], back: [] };
  for (let dy = -radius; dy <= radius; dy++)
    for (let dx = -radius; dx <= radius; dx++) {
      const squared = dx * dx + dy * dy;
      if (squared > (radius + (radius === 1 ? 0.5 : 0.35)) ** 2) continue;
      disc.dx.push(dx);
      disc.dy.push(dy);
      disc.back.push(radius > 2 ? 0.6 * (squared / (radius * radius)) : 0); // a dome: neighbours meet in clean borders
    }
  return {
    length: disc.dx.length,
    dx: Int32Array.from(disc.dx),
    dy: Int32Array.from(disc.dy),
    back: Float32Array.from(disc.back),
  };
});

export class SplatBuffer {
  constructor() {
    this.width = this.height = 0;
  }

  resize(width, height) {
    if (width === this.width && height === this.height) return;
    [this.width, this.height] = [width, height];
    this.depth = new Float32Array(width * height);
    this.ids = new Int32Array(width * height);
    this.image = new ImageData(width, height);
    this.words = new Uint32Array(this.image.data.buffer);
  }

  clear() {
    this.depth.fill(Infinity);
    this.ids.fill(NOTHING);
  }

  /**
   * Draw points, three coordinates each, as discs of a radius in object units; ids count on from `first`.
   * `smallest` is the least radius in pixels.
   */
  draw(points, orbit, radius, first, smallest) {
    const { width, height, depth, ids } = this;
    const [right, down, ahead] = orbit.turn;
    const [ex, ey, ez] = orbit.eye;
    const focal = orbit.focal(width, height);
    const [cx, cy] = [width / 2, height / 2];
    const near = 1e-3 * orbit.distance;
    for (let i = 0, at = 0; at < points.length; i++, at += 3) {
      const x = points[at] - ex;
      const y = points[at + 1] - ey;
      const z = points[at + 2] - ez;
      const far = ahead[0] * x + ahead[1] * y + ahead[2] * z;
      if (!(far > near)) continue; // also what is not a number
      const scale = focal / far;
      const px = Math.floor(cx + (right[0] * x + right[1] * y + right[2] * z) * scale);
      const py = Math.floor(cy + (down[0] * x + down[1] * y + down[2] * z) * scale);
      const size = Math.min(Math.max(Math.round(radius * scale), smallest), LARGEST);
      if (px < -size || py < -size || px >= width + size || py >= height + size) continue;
      const disc = DISCS[size];
      const inside = px >= size && py >= size && px < width - size && py < height - size;
      for (let k = 0; k < disc.length; k++) {
        const sx = px + disc.dx[k];
        const sy = py + disc.dy[k];
        if (!inside && (sx < 0 || sy < 0 || sx >= width || sy >= height)) continue;
        const place = sy * width + sx;
        const away = far + radius * disc.back[k];
        if (away < depth[place]) {
          depth[place] = away;
          ids[place] = first + i;
        }
      }
    }
  }

  /**
   * Colour what was drawn, a word an id, darker where something nearer is beside it (eye-dome lighting, after
   * Boucheny 2009): shape shows without lights and normals.
   */
  shade(colours, strength, reach) {
    const { width, height, depth, ids, words } = this;
    words.fill(0);
    for (let y = 0, place = 0; y < height; y++) {
      for (let x = 0; x < width; x++, place++) {
        const id = ids[place];
        if (id === NOTHING) continue;
        const here = depth[place];
        let shadow = 0;
        if (x >= reach) shadow += step(here, depth[place - reach]);
        if (x < width - reach) shadow += step(here, depth[place + reach]);
        if (y >= reach) shadow += step(here, depth[place - reach * width]);
        if (y < height - reach) shadow += step(here, depth[place + reach * width]);
        const light = 1 / (1 + (strength * shadow) / here);
        const colour = colours[id];
        words[place] =
          (colour & 0xff000000) |
          ((((colour >> 16) & 255) * light) << 16) |
          ((((colour >> 8) & 255) * light) << 8) |
          ((colour & 255) * light);
      }
    }
  }

  /** The id of what is drawn nearest to a place, within some pixels; NOTHING where there is none. */
  pick(x, y, within) {
    [x, y] = [Math.floor(x), Math.floor(y)];
    let [best, found] = [Infinity, NOTHING];
    for (let dy = -within; dy <= within; dy++)
      for (let dx = -within; dx <= within; dx++) {
        const [sx, sy] = [x + dx, y + dy];
        if (sx < 0 || sy < 0 || sx >= this.width || sy >= this.height) continue;
        const id = this.ids[sy * this.width + sx];
        const away = dx * dx + dy * dy;
        if (id !== NOTHING && away < best) [best, found] = [away, id];
      }
    return found;
  }
}

/** How much farther a place is than its neighbour; before nothing it stands out a little, so that edges show. */
function step(here, beside) {
  if (beside === Infinity) return 0.004 * here;
  return beside < here ? Math.min(here - beside, 0.02 * here) : 0;
}
