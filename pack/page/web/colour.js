// Colours are 32-bit words as canvases hold them: alpha, blue, green, red from the highest byte.

export const word = (r, g, b, a = 255) => ((a << 24) | (b << 16) | (g << 8) | r) >>> 0;

/** Mix a colour into another: 0 gives the first, 1 the second. */
export function blend(one, two, share) {
  const part = (shift) => Math.round(((one >> shift) & 255) * (1 - share) + ((two >> shift) & 255) * share);
  return word(part(0), part(8), part(16));
}

/** The word of "#rrggbb". */
export function parseColour(text) {
  const number = parseInt(text.trim().slice(1), 16);
  return word(number >> 16, (number >> 8) & 255, number & 255);
}

export const cssColour = (colour) => `rgb(${colour & 255} ${(colour >> 8) & 255} ${(colour >> 16) & 255})`;

/** A colour from lightness (0 to 1), chroma and hue (degrees) in Oklab, whose steps look even. */
function oklch(lightness, chroma, hue) {
  const a = chroma * Math.cos((hue * Math.PI) / 180);
  const b = chroma * Math.sin((hue * Math.PI) / 180);
  const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
  const linear = [
    4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
    -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
    -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s,
  ];
  const shown = linear.map((x) => {
    x = Math.min(Math.max(x, 0), 1);
    return Math.round(255 * (x <= 0.0031308 ? 12.92 * x : 1.055 * x ** (1 / 2.4) - 0.055));
  });
  return word(...shown);
}

/** Colours that neighbours in number don't share: the golden angle around the hues, at three lightnesses. */
export function patchColours(count) {
  return Uint32Array.from({ length: count }, (_, i) => oklch([0.72, 0.6, 0.82][i % 3], 0.15, (i * 137.508) % 360));
}

/** The colour of a share from 0 to 1 in a table of 256 RGB triples. */
export function mapped(table, share) {
  const at = 3 * Math.round(255 * Math.min(Math.max(share, 0), 1));
  return word(table[at], table[at + 1], table[at + 2]);
}

/** The colour of a normal in the camera frame: right is red, up is green, towards the camera is blue. */
export function normalColour(x, y, z) {
  return word(Math.round(127.5 + 127.5 * x), Math.round(127.5 - 127.5 * y), Math.round(127.5 - 127.5 * z));
}

/** Round values that divide a range into some five parts. */
export function ticks(low, high) {
  if (!(high > low)) return [low];
  const rough = (high - low) / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((factor) => factor * power >= rough) * power;
  const found = [];
  for (let k = Math.ceil(low / step); k * step <= high + step * 1e-9; k++) found.push(k * step);
  return found;
}
