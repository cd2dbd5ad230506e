// The map itself: seen, moved, and drawn round by pointer or by keys.
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { Icon } from "../../parts/icon";
import { drawingOn, type Drawing } from "./drawing";
import { paletteOf } from "./looks";
import type { Colours, MapPlace, Points } from "./points";
import { nearestPoint, onMap, onScreen, pointsWithin, WHOLE, zoomed, type View } from "./view";

export interface StageProps {
  points: Points;
  colours: Colours | undefined;
  /** 0 as usual, 1 chosen, 2 in the background. */
  marks: Uint8Array;
  pin: { place: MapPlace; title: string } | null;
  description: string;
  open: (index: number) => void;
  choose: (indices: number[]) => void;
}

const STEP = 0.15;

export function Stage({ points, colours, marks, pin, description, open, choose }: StageProps) {
  const box = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const over = useRef<HTMLCanvasElement>(null);
  const drawing = useRef<Drawing | null>(null);
  const [view, see] = useState<View>(WHOLE);
  const [size, fit] = useState<[number, number]>([0, 0]);
  const [isLasso, lasso] = useState(false);
  const [line, drawLine] = useState<number[]>([]);
  const [focused, focus] = useState(false);
  const drag = useRef<{ x: number; y: number; moved: boolean; line: number[] | null } | null>(null);
  const palette = useMemo(() => paletteOf(colours), [colours]);
  const codes = useMemo(() => colours?.codes ?? new Uint8Array(points.images.length).fill(255), [colours, points]);
  const [width, height] = size;

  useLayoutEffect(() => {
    const watch = new ResizeObserver(([entry]) => entry && fit([entry.contentRect.width, entry.contentRect.height]));
    watch.observe(box.current!);
    drawing.current = drawingOn(canvas.current!);
    return () => {
      watch.disconnect();
      drawing.current?.end();
    };
  }, []);
  useEffect(() => {
    if (!width || !drawing.current) return;
    const ratio = devicePixelRatio || 1;
    for (const one of [canvas.current!, over.current!]) {
      if (one.width !== Math.round(width * ratio)) one.width = Math.round(width * ratio);
      if (one.height !== Math.round(height * ratio)) one.height = Math.round(height * ratio);
    }
    drawing.current.show({ places: points.places, codes, palette, marks });
    drawing.current.draw(view, width, height, ratio);
    // Drawn by the processor: few lines, which a software graphics card showed late.
    drawOver(over.current!.getContext("2d", { willReadFrequently: true })!, { view, width, height, ratio, pin, line, cross: focused });
    box.current!.dataset.drawn = String(points.images.length);
  }, [points, codes, palette, marks, view, width, height, pin, line, focused]);
  // A wheel that moves the map does not move the page: such a listener cannot be passive.
  useEffect(() => {
    const turned = (event: WheelEvent) => {
      event.preventDefault();
      const [left, top] = placeOf(event, box.current!);
      see((now) => zoomed(now, Math.exp(-event.deltaY / 400), box.current!.clientWidth, box.current!.clientHeight, left, top));
    };
    box.current!.addEventListener("wheel", turned, { passive: false });
    return () => box.current?.removeEventListener("wheel", turned);
  }, []);

  const down = (event: PointerEvent) => {
    if (event.button) return;
    (event.currentTarget as Element).setPointerCapture(event.pointerId);
    const [x, y] = placeOf(event, box.current!);
    drag.current = { x, y, moved: false, line: isLasso || event.shiftKey ? [...onMap(view, width, height, x, y)] : null };
  };
  const move = (event: PointerEvent) => {
    const held = drag.current;
    if (!held) return;
    const [x, y] = placeOf(event, box.current!);
    if (!held.moved && Math.hypot(x - held.x, y - held.y) < 4) return;
    held.moved = true;
    if (held.line) {
      held.line.push(...onMap(view, width, height, x, y));
      drawLine([...held.line]);
      return;
    }
    const [fromX, fromY] = onMap(view, width, height, held.x, held.y);
    const [toX, toY] = onMap(view, width, height, x, y);
    see({ ...view, x: view.x + fromX - toX, y: view.y + fromY - toY });
    [held.x, held.y] = [x, y];
  };
  const up = (event: PointerEvent) => {
    const held = drag.current;
    drag.current = null;
    drawLine([]);
    if (!held) return;
    if (held.line && held.moved) {
      choose(pointsWithin(points.places, held.line));
      return;
    }
    if (held.moved) return;
    const [x, y] = placeOf(event, box.current!);
    const found = nearestPoint(points.places, view, width, height, x, y, 12);
    if (found >= 0) open(found);
  };
  const inView = () => {
    const [left, high] = onMap(view, width, height, 0, 0);
    const [right, low] = onMap(view, width, height, width, height);
    return pointsWithin(points.places, [left, low, right, low, right, high, left, high]);
  };
  const key = (event: KeyboardEvent) => {
    const step = STEP / view.zoom;
    const moves: Record<string, () => void> = {
      ArrowLeft: () => see({ ...view, x: view.x - step }),
      ArrowRight: () => see({ ...view, x: view.x + step }),
      ArrowUp: () => see({ ...view, y: view.y + step }),
      ArrowDown: () => see({ ...view, y: view.y - step }),
      "+": () => see(zoomed(view, 1.4, width, height)),
      "=": () => see(zoomed(view, 1.4, width, height)),
      "-": () => see(zoomed(view, 1 / 1.4, width, height)),
      "0": () => see(WHOLE),
      Enter: () => {
        const found = nearestPoint(points.places, view, width, height, width / 2, height / 2, Math.hypot(width, height));
        if (found >= 0) open(found);
      },
    };
    const act = event.ctrlKey || event.metaKey || event.altKey ? undefined : moves[event.key];
    if (!act) return;
    event.preventDefault();
    event.stopPropagation();
    act();
  };
  return (
    <div class="map-frame">
      <div class="map-tools row">
        <button type="button" aria-pressed={isLasso} onClick={() => lasso(!isLasso)}>
          Lasso
        </button>
        <button type="button" onClick={() => choose(inView())}>
          Select what is in view
        </button>
        <span class="row">
          <button type="button" aria-label="Closer" onClick={() => see(zoomed(view, 1.6, width, height))}>
            <Icon name="plus" />
          </button>
          <button type="button" aria-label="Farther" onClick={() => see(zoomed(view, 1 / 1.6, width, height))}>
            <Icon name="minus" />
          </button>
          <button type="button" onClick={() => see(WHOLE)}>
            Whole map
          </button>
        </span>
      </div>
      <div
        ref={box}
        class={`map-stage${isLasso ? " drawing" : ""}`}
        role="application"
        aria-roledescription="map"
        aria-label={description}
        aria-describedby="map-keys"
        tabindex={0}
        onPointerDown={down}
        onPointerMove={move}
        onPointerUp={up}
        onPointerCancel={() => {
          drag.current = null;
          drawLine([]);
        }}
        onKeyDown={key}
        onFocus={() => focus(true)}
        onBlur={() => focus(false)}
      >
        <canvas ref={canvas} aria-hidden="true" />
        <canvas ref={over} aria-hidden="true" />
      </div>
      <p id="map-keys" class="quiet small">
        Drag moves, the wheel zooms, Shift and drag draws a lasso, a click opens a point. Keys: arrows, <kbd>+</kbd> <kbd>-</kbd> <kbd>0</kbd>,
        and <kbd>Enter</kbd> for the point nearest to the middle.
      </p>
    </div>
  );
}

function placeOf(event: MouseEvent, element: Element): [number, number] {
  const frame = element.getBoundingClientRect();
  return [event.clientX - frame.left, event.clientY - frame.top];
}

interface Over {
  view: View;
  width: number;
  height: number;
  ratio: number;
  pin: StageProps["pin"];
  line: number[];
  cross: boolean;
}

// Lines to the true neighbours, the pin, the lasso, and the middle that Enter opens at.
function drawOver(context: CanvasRenderingContext2D, { view, width, height, ratio, pin, line, cross }: Over): void {
  const at = (x: number, y: number) => onScreen(view, width, height, x, y);
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  if (pin && pin.place.x !== null && pin.place.y !== null) {
    const [x, y] = at(pin.place.x, pin.place.y);
    context.lineWidth = 1.5;
    context.strokeStyle = "#ffffff";
    for (const one of pin.place.neighbours) {
      if (one.x === null || one.y === null) continue;
      context.beginPath();
      context.moveTo(x, y);
      context.lineTo(...at(one.x, one.y));
      context.stroke();
    }
    context.fillStyle = "#ffffff";
    context.strokeStyle = "#000000";
    context.beginPath();
    context.arc(x, y, 7, 0, 7);
    context.fill();
    context.stroke();
    context.font = "600 14px system-ui, sans-serif";
    context.lineWidth = 4;
    const left = Math.min(x + 12, Math.max(4, width - context.measureText(pin.title).width - 6));
    context.strokeText(pin.title, left, y - 10);
    context.fillText(pin.title, left, y - 10);
  }
  if (line.length > 2) {
    context.lineWidth = 2;
    context.strokeStyle = "#ffffff";
    context.setLineDash([6, 4]);
    context.beginPath();
    for (let i = 0; i < line.length; i += 2) context.lineTo(...at(line[i]!, line[i + 1]!));
    context.closePath();
    context.stroke();
    context.setLineDash([]);
  }
  if (cross) {
    context.lineWidth = 1;
    context.strokeStyle = "#ffffff";
    context.beginPath();
    context.moveTo(width / 2 - 9, height / 2);
    context.lineTo(width / 2 + 9, height / 2);
    context.moveTo(width / 2, height / 2 - 9);
    context.lineTo(width / 2, height / 2 + 9);
    context.stroke();
  }
}
