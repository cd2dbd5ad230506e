// What pointer and wheel do on the picture.
import type { Line } from "./measure";
import type { Stack } from "./stack";

export type Mode = "window" | "pan" | "measure";

const NOTCH = 60;

/** Hear wheel and pointer of an element; returns how to stop. */
export function dragging(
  element: HTMLElement,
  stack: () => Stack | null,
  mode: Mode,
  step: (by: number) => void,
  draw: (line: Line | null) => void,
): () => void {
  let turned = 0;
  let held: { x: number; y: number; mode: Mode; from: [number, number, number] | null } | null = null;
  let level = { center: 0, width: 1 };

  const place = (event: PointerEvent): [number, number] => {
    const box = element.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  const wheel = (event: WheelEvent) => {
    event.preventDefault();
    if (event.ctrlKey) return stack()?.zoomBy(event.deltaY < 0 ? 1.1 : 0.9);
    turned += event.deltaMode === 0 ? event.deltaY : event.deltaY * NOTCH;
    const steps = Math.trunc(turned / NOTCH);
    turned -= steps * NOTCH;
    if (steps) step(Math.sign(steps) * Math.min(Math.abs(steps), 5));
  };
  const down = (event: PointerEvent) => {
    const now = event.shiftKey || event.button === 1 ? "pan" : mode;
    const [x, y] = place(event);
    held = { x, y, mode: now, from: stack()?.worldAt(x, y) ?? null };
    level = stack()?.level() ?? level;
    element.setPointerCapture(event.pointerId);
    element.focus({ preventScroll: true });
    event.preventDefault();
  };
  const move = (event: PointerEvent) => {
    const now = stack();
    if (!held || !now) return;
    const [x, y] = place(event);
    if (held.mode === "measure") {
      if (held.from) draw({ from: held.from, to: now.worldAt(x, y) });
      return;
    }
    if (held.mode === "pan") now.panBy(x - held.x, y - held.y);
    else {
      // A picture's width of dragging is twice the window.
      const unit = (2 * Math.max(level.width, 50)) / Math.max(element.clientWidth, 1);
      level = { center: level.center + (y - held.y) * unit, width: Math.max(1, level.width + (x - held.x) * unit) };
      now.window(level.center, level.width);
    }
    held = { ...held, x, y };
  };
  const up = () => {
    held = null;
  };
  element.addEventListener("wheel", wheel, { passive: false });
  element.addEventListener("pointerdown", down);
  element.addEventListener("pointermove", move);
  element.addEventListener("pointerup", up);
  element.addEventListener("pointercancel", up);
  return () => {
    element.removeEventListener("wheel", wheel);
    element.removeEventListener("pointerdown", down);
    element.removeEventListener("pointermove", move);
    element.removeEventListener("pointerup", up);
    element.removeEventListener("pointercancel", up);
  };
}
