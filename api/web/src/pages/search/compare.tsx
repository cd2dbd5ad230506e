// Two pictures beside each other that zoom and move together, and which places of them are alike.
import { useEffect, useRef, useState } from "preact/hooks";
import { useLoad } from "../../http";
import { figure, percent } from "../../format";
import { Failed, Skeleton, Withheld } from "../../parts/states";
import { usePreview, type Drawn } from "../../viewer/preview";
import { whyAlike, type Explained, type Place } from "./why";

export interface Side {
  title: string;
  /** A stored image, or a file that was dropped. */
  image: number | null;
  file?: File;
  href?: string;
}

interface View {
  scale: number;
  /** Of the pane's size. */
  x: number;
  y: number;
}

const WHOLE: View = { scale: 1, x: 0, y: 0 };
const MOST_MARKS = 12;

export function Compare({ a, b, text, explain }: { a: Side | null; b: Side; text?: string; explain: boolean }) {
  const [view, move] = useState<View>(WHOLE);
  const key = explain ? `why ${a?.image ?? a?.file?.name ?? text} ${b.image}` : null;
  const why = useLoad(key, (signal) => whyAlike(a, b, text, signal));
  const found = explain && why.state === "ready" ? why.value : null;
  useEffect(() => move(WHOLE), [a?.image, b.image]);
  const drawn = explain ? "model" : "display"; // places are those of what the model saw
  const zoom = (factor: number) => move(zoomed(view, factor, 0, 0));
  return (
    <div class="compare">
      <div class="row">
        <button type="button" onClick={() => zoom(1.25)} aria-label="Both larger">
          +
        </button>
        <button type="button" onClick={() => zoom(0.8)} aria-label="Both smaller">
          −
        </button>
        <button type="button" onClick={() => move(WHOLE)}>
          Whole pictures
        </button>
        <span class="quiet">{figure(view.scale, 1)}×; wheel zooms, drag moves, both pictures together</span>
      </div>
      <div class="compare-panes">
        {a && <Pane side={a} drawn={drawn} view={view} move={move} marks={found?.matches?.slice(0, MOST_MARKS).map((one) => one.image)} />}
        <Pane side={b} drawn={drawn} view={view} move={move} marks={found?.matches?.slice(0, MOST_MARKS).map((one) => one.like)} map={found?.map ?? null} />
      </div>
      {explain && why.state === "loading" && <Skeleton rows={1} />}
      {explain && why.state === "error" && <Failed problem={why.problem} retry={why.retry} />}
      {found && <Told found={found} text={text} />}
    </div>
  );
}

function Told({ found, text }: { found: Explained; text?: string }) {
  const measured = found.localisation;
  return (
    <div class="quiet">
      {found.matches ? (
        <p>
          Same numbers: places that are each other's nearest, the {Math.min(MOST_MARKS, found.matches.length)} closest of {found.matches.length}. The pictures as
          wholes: cosine {figure(found.cosine)}.
        </p>
      ) : (
        <p>
          Orange turns the picture towards “{text}”, blue away from it. Cosine {figure(found.cosine)}
          {found.contrast != null && `, ${figure(found.contrast)} above its denial`}.
        </p>
      )}
      {measured && (
        <p>
          Measured on phantoms with this model: the brightest tenth holds the lesion in {percent(measured.share)} ({percent(measured.interval[0])} to{" "}
          {percent(measured.interval[1])}){measured.localises ? "" : ", too seldom to trust where it points"}.
        </p>
      )}
      {(found.warnings ?? []).map((one) => (
        <p key={one}>{one}</p>
      ))}
    </div>
  );
}

interface PaneProps {
  side: Side;
  drawn: Drawn;
  view: View;
  move: (view: View) => void;
  marks?: readonly Place[];
  map?: readonly (readonly number[])[] | null;
}

function Pane({ side, drawn, view, move, marks, map }: PaneProps) {
  const pane = useRef<HTMLDivElement>(null);
  const [aspect, measure] = useState(1);
  const held = useRef<{ x: number; y: number } | null>(null);
  const now = useRef(view);
  now.current = view;
  useEffect(() => {
    const element = pane.current!;
    const wheel = (event: WheelEvent) => {
      event.preventDefault(); // which a passive listener, as frameworks add, could not
      const box = element.getBoundingClientRect();
      const [x, y] = [(event.clientX - box.left) / box.width - 0.5, (event.clientY - box.top) / box.height - 0.5];
      move(zoomed(now.current, event.deltaY < 0 ? 1.15 : 1 / 1.15, x, y));
    };
    element.addEventListener("wheel", wheel, { passive: false });
    return () => element.removeEventListener("wheel", wheel);
  }, []);
  const drag = (event: PointerEvent) => {
    if (!held.current) return;
    const box = pane.current!.getBoundingClientRect();
    move({ ...view, x: view.x + (event.clientX - held.current.x) / box.width, y: view.y + (event.clientY - held.current.y) / box.height });
    held.current = { x: event.clientX, y: event.clientY };
  };
  const key = (event: KeyboardEvent) => {
    const does: Record<string, () => View> = {
      "+": () => zoomed(view, 1.25, 0, 0),
      "-": () => zoomed(view, 0.8, 0, 0),
      0: () => WHOLE,
      ArrowLeft: () => ({ ...view, x: view.x + 0.05 }),
      ArrowRight: () => ({ ...view, x: view.x - 0.05 }),
      ArrowUp: () => ({ ...view, y: view.y + 0.05 }),
      ArrowDown: () => ({ ...view, y: view.y - 0.05 }),
    };
    const found = does[event.key];
    if (!found || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    event.stopPropagation();
    move(found());
  };
  return (
    <figure class="compare-side">
      <div
        ref={pane}
        class="compare-pane"
        tabindex={0}
        role="group"
        aria-label={`${side.title}. Plus, minus and arrow keys zoom and move both pictures.`}
        onKeyDown={key}
        onPointerDown={(event) => {
          held.current = { x: event.clientX, y: event.clientY };
          event.currentTarget.setPointerCapture(event.pointerId);
        }}
        onPointerMove={drag}
        onPointerUp={() => (held.current = null)}
        onPointerCancel={() => (held.current = null)}
      >
        <div
          class="compare-picture"
          style={{
            width: `${aspect >= 1 ? 100 : 100 * aspect}%`,
            height: `${aspect >= 1 ? 100 / aspect : 100}%`,
            transform: `translate(-50%, -50%) translate(${100 * view.x * (aspect >= 1 ? 1 : 1 / aspect)}%, ${100 * view.y * (aspect >= 1 ? aspect : 1)}%) scale(${view.scale})`,
          }}
        >
          <Shown side={side} drawn={drawn} measured={measure} />
          {map && <Heat map={map} />}
          {marks && <Marks marks={marks} />}
        </div>
      </div>
      <figcaption>{side.href ? <a href={side.href}>{side.title}</a> : side.title}</figcaption>
    </figure>
  );
}

function Shown({ side, drawn, measured }: { side: Side; drawn: Drawn; measured: (aspect: number) => void }) {
  const preview = usePreview(side.image, drawn, false);
  const [own, show] = useState<string | null>(null);
  useEffect(() => {
    if (!side.file?.type.startsWith("image/")) return;
    const url = URL.createObjectURL(side.file);
    show(url);
    return () => URL.revokeObjectURL(url);
  }, [side.file]);
  const url = side.image === null ? own : preview.url;
  if (preview.problem) return <Withheld code={preview.problem.code} />;
  if (side.image === null && !own) return <Withheld code="No picture: the browser draws no DICOM file that is not in the archive" />;
  if (!url) return <Skeleton rows={1} kind="block" />;
  return (
    <img
      src={url}
      alt={side.title}
      draggable={false}
      onLoad={(event) => measured(event.currentTarget.naturalWidth / Math.max(1, event.currentTarget.naturalHeight))}
    />
  );
}

function Marks({ marks }: { marks: readonly Place[] }) {
  return (
    <div class="marks" aria-hidden="true">
      {marks.map((one, at) => (
        <span key={at} style={{ left: `${100 * one.x}%`, top: `${100 * one.y}%` }}>
          {at + 1}
        </span>
      ))}
    </div>
  );
}

function Heat({ map }: { map: readonly (readonly number[])[] }) {
  const columns = map[0]?.length ?? 0;
  return (
    <svg class="heat" viewBox={`0 0 ${columns} ${map.length}`} preserveAspectRatio="none" aria-hidden="true">
      {map.flatMap((row, y) =>
        row.map((one, x) => (
          <rect key={`${x} ${y}`} x={x} y={y} width={1} height={1} class={one > 0 ? "heat-for" : "heat-against"} fill-opacity={0.5 * Math.abs(one)} />
        )),
      )}
    </svg>
  );
}

// Zoom by a factor about a point of the pane, from its middle.
function zoomed(view: View, factor: number, x: number, y: number): View {
  const scale = Math.min(20, Math.max(0.5, view.scale * factor));
  const by = scale / view.scale;
  return { scale, x: x - (x - view.x) * by, y: y - (y - view.y) * by };
}
