// What part of the map is seen, and what lies where on the screen.

export interface View {
  x: number;
  y: number;
  zoom: number;
}

export const WHOLE: View = { x: 0, y: 0, zoom: 1 };
const CLOSEST = 400;
const FARTHEST = 0.5;

/** Pixels of the screen for one unit of the map, which is 2 wide. */
export const metres = (view: View, width: number, height: number): number => (Math.min(width, height) / 2) * 0.94 * view.zoom;

export function onScreen(view: View, width: number, height: number, x: number, y: number): [number, number] {
  const unit = metres(view, width, height);
  return [width / 2 + (x - view.x) * unit, height / 2 - (y - view.y) * unit];
}

export function onMap(view: View, width: number, height: number, left: number, top: number): [number, number] {
  const unit = metres(view, width, height);
  return [view.x + (left - width / 2) / unit, view.y - (top - height / 2) / unit];
}

/** Closer or farther by a factor, so that what lies under the pointer stays there. */
export function zoomed(view: View, factor: number, width: number, height: number, left = width / 2, top = height / 2): View {
  const zoom = Math.min(Math.max(view.zoom * factor, FARTHEST), CLOSEST);
  const [x, y] = onMap(view, width, height, left, top);
  const [newX, newY] = onMap({ ...view, zoom }, width, height, left, top);
  return { x: view.x + x - newX, y: view.y + y - newY, zoom };
}

/** The point nearest to a place of the screen, at most `within` pixels away; -1 for none. */
export function nearestPoint(places: Float32Array, view: View, width: number, height: number, left: number, top: number, within: number): number {
  const [x, y] = onMap(view, width, height, left, top);
  let best = (within / metres(view, width, height)) ** 2;
  let found = -1;
  for (let i = 0; i < places.length / 2; i += 1) {
    const apart = (places[2 * i]! - x) ** 2 + (places[2 * i + 1]! - y) ** 2;
    if (apart <= best) [best, found] = [apart, i];
  }
  return found;
}

/** The points within a line that was drawn round them, x and y of the map in turn (even-odd rule). */
export function pointsWithin(places: Float32Array, line: readonly number[]): number[] {
  const found: number[] = [];
  const corners = line.length / 2;
  if (corners < 3) return found;
  const xs = line.filter((_, i) => i % 2 === 0);
  const ys = line.filter((_, i) => i % 2 === 1);
  const [left, right, low, high] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  for (let i = 0; i < places.length / 2; i += 1) {
    const [x, y] = [places[2 * i]!, places[2 * i + 1]!];
    if (x < left || x > right || y < low || y > high) continue;
    let inside = false;
    for (let a = 0, b = corners - 1; a < corners; b = a, a += 1) {
      if (ys[a]! > y !== ys[b]! > y && x < ((xs[b]! - xs[a]!) * (y - ys[a]!)) / (ys[b]! - ys[a]!) + xs[a]!) inside = !inside;
    }
    if (inside) found.push(i);
  }
  return found;
}
