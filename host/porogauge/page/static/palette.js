// Colours that everybody can tell apart: cividis for values (dark blue to yellow).

const ANCHORS = [
  [0, 32, 77], [0, 48, 111], [42, 63, 108], [72, 78, 108], [95, 93, 110], [117, 109, 113],
  [140, 124, 118], [165, 141, 115], [190, 158, 107], [216, 177, 93], [243, 196, 68], [255, 234, 70],
];

const packed = (r, g, b) => (255 << 24 | b << 16 | g << 8 | r) >>> 0;

export const VALUES = Uint32Array.from({ length: 256 }, (_, index) => {
  const at = index / 255 * (ANCHORS.length - 1);
  const low = Math.min(Math.floor(at), ANCHORS.length - 2);
  const share = at - low;
  const mix = (c) => Math.round(ANCHORS[low][c] * (1 - share) + ANCHORS[low + 1][c] * share);
  return packed(mix(0), mix(1), mix(2));
});

export const NONE = 0; // no window: see-through
export const NO_NUMBER = packed(150, 158, 166);
export const FLAG = packed(213, 94, 0);
export const NO_FLAG = packed(170, 200, 220);
// warm_up, off_sheet, standardising, measuring, hold, fault (Okabe and Ito)
export const STATE = [packed(240, 228, 66), packed(187, 195, 202), packed(204, 121, 167),
  packed(86, 180, 233), packed(230, 159, 0), packed(213, 94, 0)];

export const css = (colour) => `rgb(${colour & 255} ${colour >> 8 & 255} ${colour >> 16 & 255})`;
