// Arrays as the page carries them: base64 of zlib of byte planes; coded.py writes them.

const TYPES = { u1: Uint8Array, u2: Uint16Array, u4: Uint32Array, f4: Float32Array, f8: Float64Array };

/** Bytes of a base64 text. */
function bytesOf(text) {
  const raw = atob(text);
  const bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
  return bytes;
}

/** Inflate a zlib stream with what the browser has built in. */
async function inflate(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/**
 * Decode {dtype, shape, coding, data} to a typed array with a `shape`.
 * Coding "planes": all first bytes, then all second ones, …; "steps" before it: differences of the bit patterns;
 * "bits": eight truth values a byte.
 */
export async function decodeArray(coded) {
  const bytes = await inflate(bytesOf(coded.data));
  const length = coded.shape.reduce((product, size) => product * size, 1);
  let array;
  if (coded.coding === "bits") {
    array = new Uint8Array(length);
    for (let i = 0; i < length; i++) array[i] = (bytes[i >> 3] >> (7 - (i & 7))) & 1;
  } else {
    const Type = TYPES[coded.dtype];
    const size = Type.BYTES_PER_ELEMENT;
    const whole = new Uint8Array(length * size);
    for (let plane = 0; plane < size; plane++)
      for (let i = 0; i < length; i++) whole[i * size + plane] = bytes[plane * length + i];
    if (coded.coding === "steps") {
      const words = new Uint32Array(whole.buffer);
      for (let i = 1; i < length; i++) words[i] += words[i - 1]; // wraps at 32 bits, as the differences did
    }
    array = new Type(whole.buffer);
  }
  array.shape = coded.shape;
  return array;
}

/** Decode every array of an object, and of the objects in it, leaving all else as it is. */
export async function decodeAll(object) {
  const decoded = {};
  for (const [name, value] of Object.entries(object)) {
    const holds = value && typeof value === "object" && !Array.isArray(value);
    decoded[name] = !holds ? value : value.coding ? await decodeArray(value) : await decodeAll(value);
  }
  return decoded;
}
