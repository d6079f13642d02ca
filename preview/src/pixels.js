/** Inspects a tile's pixels. */

/**
 * Whether any pixel is visible.
 * @param {ImageBitmap} picture
 */
export function hasPixels(picture) {
  const canvas = new OffscreenCanvas(picture.width, picture.height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (!context) return true;
  context.drawImage(picture, 0, 0);
  return anyOpaque(context.getImageData(0, 0, picture.width, picture.height).data);
}

/** @param {Uint8ClampedArray} data RGBA */
export function anyOpaque(data) {
  for (let i = 3; i < data.length; i += 4) if (data[i] !== 0) return true;
  return false;
}
