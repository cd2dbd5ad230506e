// Plots as SVG, each with the same numbers as a table for who does not see it.
import type { ComponentChildren } from "preact";
import { useId } from "preact/hooks";
import { figure } from "../../format";
import { Table } from "../../parts/table";

export interface Point {
  x: number;
  y: number;
  /** A 95 % interval of y. */
  ci?: readonly [number, number] | null;
  /** What the table says of the point besides. */
  note?: string;
}

export interface PlotProps {
  title: string;
  /** One sentence that says what is seen. */
  words: string;
  x: string;
  y: string;
  points: readonly Point[];
  /** Drawn as a line, as points with intervals, or both. */
  line?: boolean;
  marks?: boolean;
  /** The diagonal of a random or of a perfect answer. */
  diagonal?: string;
  /** The place that is chosen by the slider. */
  chosen?: { x: number; y: number } | null;
  from?: readonly [number, number];
  to?: readonly [number, number];
  noteTitle?: string;
}

const SIDE = 240;
const LEFT = 44;
const BELOW = 40;
const TICKS = [0, 0.25, 0.5, 0.75, 1];

export function Plot({ title, words, x, y, points, line, marks, diagonal, chosen, from = [0, 0], to = [1, 1], noteTitle }: PlotProps) {
  const id = useId();
  const across = (value: number) => LEFT + (SIDE * (value - from[0])) / (to[0] - from[0] || 1);
  const up = (value: number) => SIDE + 8 - (SIDE * (value - from[1])) / (to[1] - from[1] || 1);
  return (
    <figure class="plot">
      <figcaption id={id}>{title}</figcaption>
      <svg viewBox={`0 0 ${SIDE + LEFT + 14} ${SIDE + BELOW + 8}`} role="img" aria-label={`${title}: ${words}`}>
        {TICKS.map((share) => {
          const [atX, atY] = [from[0] + share * (to[0] - from[0]), from[1] + share * (to[1] - from[1])];
          return (
            <g key={share} class="plot-tick">
              <line x1={across(atX)} x2={across(atX)} y1={8} y2={SIDE + 8} />
              <line x1={LEFT} x2={LEFT + SIDE} y1={up(atY)} y2={up(atY)} />
              <text x={across(atX)} y={SIDE + 22} text-anchor="middle">
                {tick(atX)}
              </text>
              <text x={LEFT - 5} y={up(atY) + 4} text-anchor="end">
                {tick(atY)}
              </text>
            </g>
          );
        })}
        <text class="plot-axis" x={LEFT + SIDE / 2} y={SIDE + BELOW} text-anchor="middle">
          {x}
        </text>
        <text class="plot-axis" x={-(SIDE / 2 + 8)} y={11} text-anchor="middle" transform="rotate(-90)">
          {y}
        </text>
        {diagonal && <line class="plot-diagonal" x1={across(from[0])} y1={up(from[1])} x2={across(to[0])} y2={up(to[1])} />}
        {line && points.length > 1 && <polyline class="plot-line" points={points.map((one) => `${across(one.x)},${up(one.y)}`).join(" ")} />}
        {marks &&
          points.map((one, at) => (
            <g key={at} class="plot-mark">
              {one.ci && <line x1={across(one.x)} x2={across(one.x)} y1={up(one.ci[0])} y2={up(one.ci[1])} />}
              <circle cx={across(one.x)} cy={up(one.y)} r={4} />
            </g>
          ))}
        {chosen && <circle class="plot-chosen" cx={across(chosen.x)} cy={up(chosen.y)} r={6} />}
      </svg>
      {diagonal && <p class="quiet plot-words">Dashed: {diagonal}.</p>}
      <details>
        <summary>As a table</summary>
        <Table
          caption={title}
          rows={points}
          rowKey={(one) => points.indexOf(one)}
          columns={[
            { name: "x", title: x, number: true, show: (one) => figure(one.x, 3) },
            { name: "y", title: y, number: true, show: (one) => figure(one.y, 3) },
            ...(points.some((one) => one.ci) ? [{ name: "ci", title: "95 % interval", show: (one: Point) => (one.ci ? `${figure(one.ci[0])} to ${figure(one.ci[1])}` : "–") }] : []),
            ...(noteTitle ? [{ name: "note", title: noteTitle, number: true, show: (one: Point) => one.note ?? "" }] : []),
          ]}
        />
      </details>
    </figure>
  );
}

const tick = (value: number): string => (Number.isInteger(value) || Math.abs(value) >= 10 ? String(Math.round(value)) : value.toFixed(2).replace(/0$/, ""));

/** A figure with its 95 % interval. */
export function Estimate({ value, ci, digits = 2 }: { value: number | null | undefined; ci?: readonly (number | null)[] | null; digits?: number }) {
  const known = ci && ci[0] !== null && ci[1] !== null && ci[0] !== undefined && ci[1] !== undefined;
  return (
    <span class="estimate">
      {figure(value, digits)}
      {known && (
        <span class="quiet">
          {" "}
          ({figure(ci[0], digits)} to {figure(ci[1], digits)})
        </span>
      )}
    </span>
  );
}

export function Facts({ all }: { all: readonly (readonly [string, ComponentChildren])[] }) {
  return (
    <dl class="facts">
      {all.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}
