// A length on the picture, in mm where the file says how large a pixel is.
import { figure } from "../format";
import type { Shown, Stack } from "./stack";

type Place = [number, number, number];

export interface Line {
  from: Place;
  to: Place;
}

/** `shown` is only there so that the line follows zoom and pan. */
export function Measure({ line, stack }: { line: Line | null; stack: Stack | null; shown: Shown | null }) {
  if (!line || !stack) return null;
  const [x1, y1] = stack.pointOf(line.from);
  const [x2, y2] = stack.pointOf(line.to);
  const length = Math.hypot(...line.from.map((one, axis) => one - line.to[axis]!));
  const words = `${figure(length, 1)} ${stack.hasSpacing() ? "mm" : "pixels"}`;
  return (
    <svg class="viewer-lines" aria-hidden="true">
      <line x1={x1} y1={y1} x2={x2} y2={y2} />
      <text x={x2 + 8} y={y2 - 8}>
        {words}
      </text>
    </svg>
  );
}
