// The stored camera, with the conventions of camera.py, and the camera that looks at the scene.

export const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
export const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
export const plus = (a, b, factor = 1) => [a[0] + factor * b[0], a[1] + factor * b[1], a[2] + factor * b[2]];
const unit = (a) => plus([0, 0, 0], a, 1 / Math.hypot(...a));

/** The pinhole camera of a row: x_cam = R x_obj + t; OpenCV axes; the centre of pixel (u, v) is (u + 0.5, v + 0.5). */
export class PinholeCamera {
  constructor(intrinsics, pose, width, height) {
    [this.fx, this.skew, this.cx] = intrinsics;
    [this.fy, this.cy] = [intrinsics[4], intrinsics[5]];
    this.rows = [0, 1, 2].map((i) => [pose[4 * i], pose[4 * i + 1], pose[4 * i + 2]]);
    this.shift = [pose[3], pose[7], pose[11]];
    this.width = width;
    this.height = height;
    this.eye = this.toObject([0, 0, 0]);
  }

  /** Turn a point of the camera frame into the object frame: R^T (x - t). */
  toObject(point) {
    const moved = plus(point, this.shift, -1);
    return [0, 1, 2].map((i) => moved[0] * this.rows[0][i] + moved[1] * this.rows[1][i] + moved[2] * this.rows[2][i]);
  }

  /** Project a point of the object frame: [u, v, depth]. */
  project(point) {
    const [x, y, z] = [0, 1, 2].map((i) => dot(this.rows[i], point) + this.shift[i]);
    return [(this.fx * x + this.skew * y) / z + this.cx, (this.fy * y) / z + this.cy, z];
  }

  /** Lift an image position with its planar depth to the object frame. */
  unproject(u, v, depth) {
    const y = (v - this.cy) / this.fy;
    return this.toObject([((u - this.cx - this.skew * y) / this.fx) * depth, y * depth, depth]);
  }

  /** The corners of the image at a depth, in the object frame. */
  corners(depth) {
    const [w, h] = [this.width, this.height];
    return [[0, 0], [w, 0], [w, h], [0, h]].map(([u, v]) => this.unproject(u, v, depth));
  }
}

const UP = [0, 1, 0]; // ShapeNet's up

/** The camera that looks at the scene: a rotation, what it looks at, how far off, and how wide. */
export class Orbit {
  constructor() {
    this.turn = [[1, 0, 0], [0, -1, 0], [0, 0, -1]]; // rows: right, down, forward in the object frame
    this.target = [0, 0, 0];
    this.distance = 2;
    this.narrow = 2.6; // focal length in halves of the shorter side
  }

  copy() {
    const other = Object.assign(new Orbit(), this);
    other.turn = this.turn.map((row) => [...row]);
    other.target = [...this.target];
    return other;
  }

  get eye() {
    return plus(this.target, this.turn[2], -this.distance);
  }

  /** Focal length in pixels of a viewport. */
  focal(width, height) {
    return (this.narrow * Math.min(width, height)) / 2;
  }

  /** Look along a direction, up upwards. */
  face(forward) {
    forward = unit(forward);
    let right = cross(forward, UP);
    if (Math.hypot(...right) < 1e-6) right = cross(forward, [0, 0, 1]);
    right = unit(right);
    this.turn = [right, cross(forward, right), forward];
  }

  /** Turn about the object's up axis and about the horizontal, angles in radians; stops at the poles. */
  rotate(sideways, upwards) {
    const [c, s] = [Math.cos(sideways), Math.sin(sideways)];
    this.turn = this.turn.map(([x, y, z]) => [c * x - s * z, y, s * x + c * z]);
    const [right, down, forward] = this.turn;
    const [cu, su] = [Math.cos(upwards), Math.sin(upwards)];
    const turned = plus(plus([0, 0, 0], forward, cu), down, su);
    const newDown = plus(plus([0, 0, 0], down, cu), forward, -su);
    const overPole = -newDown[1] < 0.01 && -newDown[1] < -down[1];
    if (!overPole) this.turn = [right, newDown, turned];
  }

  /** Move what is looked at by pixels of a viewport. */
  pan(dx, dy, width, height) {
    const scale = this.distance / this.focal(width, height);
    this.target = plus(plus(this.target, this.turn[0], -dx * scale), this.turn[1], -dy * scale);
  }

  zoom(factor) {
    this.distance = Math.min(Math.max(this.distance / factor, 1e-3), 1e3);
  }

  /** Stand so that all points are in sight. */
  fit(points, width, height, margin = 1.08) {
    const short = Math.min(width, height);
    const wide = [width / short / this.narrow / margin, height / short / this.narrow / margin];
    for (let round = 0; round < 4; round++) {
      const seen = points.map((point) => this.turn.map((axis) => dot(axis, plus(point, this.target, -1))));
      let far = 0;
      for (const [x, y, z] of seen) far = Math.max(far, Math.abs(x) / wide[0] - z, Math.abs(y) / wide[1] - z);
      this.distance = far;
      // centre what is seen, in the image
      for (const axis of [0, 1]) {
        const at = seen.map((p) => p[axis] / (p[2] + far));
        this.target = plus(this.target, this.turn[axis], ((Math.max(...at) + Math.min(...at)) / 2) * far);
      }
    }
  }

  /** Stand where a stored camera stood and see what it saw; its image, whole, fills the viewport. */
  through(camera, depth, width, height) {
    this.turn = camera.rows.map((row) => [...row]);
    this.distance = depth;
    this.target = plus(camera.eye, camera.rows[2], depth);
    const scale = Math.min(width / camera.width, height / camera.height);
    this.narrow = (2 * camera.fy * scale) / Math.min(width, height);
  }

  /** Project a point into a viewport: [x, y, depth]. */
  project(point, width, height) {
    const seen = plus(point, this.eye, -1);
    const z = dot(this.turn[2], seen);
    const scale = this.focal(width, height) / z;
    return [width / 2 + dot(this.turn[0], seen) * scale, height / 2 + dot(this.turn[1], seen) * scale, z];
  }

  /** The way from one place to another, at a share from 0 to 1. */
  static between(from, to, share) {
    const mix = (a, b) => a + (b - a) * share;
    const orbit = to.copy();
    const forward = from.turn[2].map((value, i) => mix(value, to.turn[2][i]));
    const down = from.turn[1].map((value, i) => mix(value, to.turn[1][i]));
    if (Math.hypot(...forward) > 0.05) {
      const ahead = unit(forward);
      const below = unit(plus(down, ahead, -dot(down, ahead)));
      orbit.turn = [cross(below, ahead), below, ahead];
    }
    orbit.target = from.target.map((value, i) => mix(value, to.target[i]));
    orbit.distance = Math.exp(mix(Math.log(from.distance), Math.log(to.distance)));
    orbit.narrow = Math.exp(mix(Math.log(from.narrow), Math.log(to.narrow)));
    return orbit;
  }
}
