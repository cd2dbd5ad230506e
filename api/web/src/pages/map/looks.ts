// How points look: a colour and a shape for each value, so that neither has to be told apart alone.
import { HIGHEST, UNKNOWN, type Colours } from "./points";

// Okabe and Ito's colours that stand out on the dark ground of the map.
const COLOURS = [0xe69f00, 0x56b4e9, 0x009e73, 0xf0e442, 0xd55e00, 0xcc79a7, 0x4f9bd9] as const;
export const SHAPES = ["circle", "square", "triangle", "diamond", "plus", "cross"] as const;
const NOBODY = 0x9aa5b1;
// From dark to bright for whoever sees no colour: blue to yellow, as cividis.
const RAMP = [0x3f6fb0, 0x7f8fa6, 0xb9ad86, 0xfee838] as const;

export interface Look {
  colour: number;
  shape: number;
}

/** Seven colours and six shapes have no common divisor: 42 values look differently. */
export const lookOf = (code: number): Look => ({ colour: COLOURS[code % COLOURS.length]!, shape: code % SHAPES.length });

export function rampAt(share: number): number {
  const at = Math.min(Math.max(share, 0), 1) * (RAMP.length - 1);
  const low = Math.min(Math.floor(at), RAMP.length - 2);
  const part = at - low;
  return [16, 8, 0].reduce((all, shift) => {
    const [from, to] = [(RAMP[low]! >> shift) & 255, (RAMP[low + 1]! >> shift) & 255];
    return all | (Math.round(from + (to - from) * part) << shift);
  }, 0);
}

export const css = (colour: number): string => `#${colour.toString(16).padStart(6, "0")}`;

/** Red, green, blue and the number of the shape for each of the 256 codes. */
export function paletteOf(colours: Colours | undefined): Uint8Array {
  const palette = new Uint8Array(1024);
  for (let code = 0; code < 256; code += 1) {
    const look = lookFor(colours, code);
    palette.set([look.colour >> 16, (look.colour >> 8) & 255, look.colour & 255, look.shape], 4 * code);
  }
  return palette;
}

export function lookFor(colours: Colours | undefined, code: number): Look {
  if (!colours || code === UNKNOWN) return { colour: NOBODY, shape: 0 };
  return colours.kind === "number" ? { colour: rampAt(code / HIGHEST), shape: 0 } : lookOf(code);
}
