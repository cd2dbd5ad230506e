// A series as DICOM: slices by wheel, keys and slider; windows by number keys; pan, zoom, values and lengths.
import { useEffect, useRef, useState } from "preact/hooks";
import { Problem } from "../http";
import { useKeys } from "../keys";
import { figure } from "../format";
import { Failed, Skeleton, Withheld } from "../parts/states";
import { dragging, type Mode } from "./dragging";
import { Measure, type Line } from "./measure";
import { framesOf, value, type SeriesFrame } from "./series";
import { Stack, type Shown } from "./stack";
import { windowsOf } from "./windows";

export interface ViewerProps {
  frames: readonly SeriesFrame[];
  modality: string | null;
  index: number;
  go: (index: number) => void;
  /** Called where the browser cannot decode what it got. */
  cannot: () => void;
}

export { framesOf };

const MODES: [Mode, string, string][] = [
  ["window", "Window", "drag changes brightness and contrast"],
  ["pan", "Move", "drag moves the picture"],
  ["measure", "Measure", "drag measures a length"],
];

export default function Viewer({ frames, modality, index, go, cannot }: ViewerProps) {
  const element = useRef<HTMLDivElement>(null);
  const stack = useRef<Stack | null>(null);
  const [shown, show] = useState<Shown | null>(null);
  const [problem, tell] = useState<Problem | null>(null);
  const [mode, choose] = useState<Mode>("window");
  const [under, point] = useState("");
  const [line, draw] = useState<Line | null>(null);
  const [turn, again] = useState(0);
  const last = frames.length - 1;

  const failed = (error: unknown) => {
    const found = problemOf(error);
    if (found) tell(found);
    else cannot();
  };
  useEffect(() => {
    const made = new Stack(element.current!, (now) => {
      show(now);
      tell(null);
    });
    stack.current = made;
    draw(null);
    made.open(frames, Math.min(index, last)).catch(failed);
    return () => {
      stack.current = null;
      made.end();
    };
  }, [frames, turn]);

  const ready = shown !== null;
  useEffect(() => {
    if (!ready) return;
    draw(null);
    stack.current?.go(index).catch(failed);
  }, [index]);

  const step = (by: number) => go(Math.min(last, Math.max(0, index + by)));
  const windows = windowsOf(modality, shown?.least ?? 0, shown?.most ?? 1);
  const grey = shown !== null && !shown.colour;
  const set = (at: number) => grey && windows[at] && stack.current?.window(windows[at]!.center, windows[at]!.width);
  useKeys({
    j: () => step(1),
    k: () => step(-1),
    0: () => stack.current?.reset(),
    i: () => stack.current?.invert(),
    ...Object.fromEntries(windows.map((_, at) => [String(at + 1), () => set(at)])),
  });
  useEffect(() => dragging(element.current!, () => stack.current, mode, step, draw), [mode, index, last]);

  const attributes = frames[index]?.attributes ?? {};
  const unit = modality === "CT" ? " HU" : "";
  return (
    <section class="viewer" aria-label="Picture">
      <div class="viewer-tools row" role="toolbar" aria-label="Windows and tools">
        {grey &&
          windows.map((one, at) => (
            <button key={one.name} type="button" onClick={() => set(at)} aria-pressed={isSet(shown, one.center, one.width)}>
              <kbd>{at + 1}</kbd> {one.name}
            </button>
          ))}
        <span class="row" role="group" aria-label="What dragging does">
          {MODES.map(([name, word, does]) => (
            <button key={name} type="button" title={does} aria-pressed={mode === name} onClick={() => choose(name)}>
              {word}
            </button>
          ))}
        </span>
        <button type="button" aria-label="Larger" onClick={() => stack.current?.zoomBy(1.25)}>
          +
        </button>
        <button type="button" aria-label="Smaller" onClick={() => stack.current?.zoomBy(0.8)}>
          −
        </button>
        <button type="button" onClick={() => stack.current?.invert()}>
          Invert
        </button>
        <button type="button" onClick={() => stack.current?.reset()}>
          <kbd>0</kbd> As stored
        </button>
      </div>
      <div class="viewer-stage">
        <div
          ref={element}
          class="viewer-canvas"
          tabindex={0}
          role="group"
          aria-roledescription="picture viewer"
          aria-label={`Slice ${index + 1} of ${frames.length}. Arrow keys change the slice, plus and minus the size, number keys the window.`}
          onKeyDown={(event) => pressed(event, step, last, go, index, stack.current)}
          onPointerMove={(event) => point(valueBelow(event, stack.current, unit))}
          onPointerLeave={() => point("")}
        />
        <Measure line={line} stack={stack.current} shown={shown} />
        {!shown && !problem && <Skeleton rows={1} kind="block" />}
        {problem && (
          <div class="viewer-problem">
            {problem.code === "burned-in" || problem.code === "instance-gone" ? (
              <Withheld code={problem.code === "burned-in" ? problem.code : "picture-gone"} />
            ) : (
              <Failed problem={problem} retry={() => (show(null), tell(null), again(turn + 1))} />
            )}
          </div>
        )}
        {shown && !problem && (
          <p class="viewer-words" aria-hidden="true">
            <span>
              {index + 1} / {frames.length}
            </span>
            {grey && (
              <span>
                W {Math.round(shown.width)} L {Math.round(shown.center)}
              </span>
            )}
            <span>{figure(shown.zoom, 1)}×</span>
            <span>{thickness(attributes)}</span>
            <span>{under}</span>
          </p>
        )}
      </div>
    </section>
  );
}

function isSet(shown: Shown | null, center: number, width: number): boolean {
  return shown !== null && Math.abs(shown.center - center) < 1 && Math.abs(shown.width - width) < 1.5;
}

function thickness(attributes: SeriesFrame["attributes"]): string {
  const mm = Number(value(attributes, "00180050"));
  return mm > 0 ? `${mm} mm` : "";
}

function valueBelow(event: PointerEvent, stack: Stack | null, unit: string): string {
  const box = (event.currentTarget as Element).getBoundingClientRect();
  const found = stack?.valueAt(event.clientX - box.left, event.clientY - box.top);
  return found ? `${Math.round(found.value * 10) / 10}${unit}` : "";
}

function pressed(
  event: KeyboardEvent,
  step: (by: number) => void,
  last: number,
  go: (index: number) => void,
  index: number,
  stack: Stack | null,
): void {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const shift = event.shiftKey;
  const does: Record<string, () => void> = {
    ArrowDown: () => (shift ? stack?.panBy(0, -20) : step(1)),
    ArrowUp: () => (shift ? stack?.panBy(0, 20) : step(-1)),
    ArrowRight: () => (shift ? stack?.panBy(-20, 0) : step(1)),
    ArrowLeft: () => (shift ? stack?.panBy(20, 0) : step(-1)),
    PageDown: () => step(10),
    PageUp: () => step(-10),
    Home: () => go(0),
    End: () => go(last),
    "+": () => stack?.zoomBy(1.25),
    "-": () => stack?.zoomBy(0.8),
  };
  const found = does[event.key];
  if (!found || (index < 0 && stack)) return;
  event.preventDefault();
  event.stopPropagation();
  found();
}

// The service's problem; null where the frame came and could not be decoded.
function problemOf(error: unknown): Problem | null {
  if (error instanceof Problem) return error;
  const inner = (error as { error?: unknown } | null)?.error;
  return inner instanceof Problem ? inner : null;
}
