// What colours and shapes mean, with counts; a name can be brought to the front alone.
import { count, figure, percent } from "../../format";
import { href } from "../../router";
import { css, lookFor, rampAt, SHAPES } from "./looks";
import { fieldTitle, UNKNOWN, whereOf, type Colours } from "./points";

export interface LegendProps {
  colours: Colours;
  fields: Record<string, string[]>;
  /** The codes that are in front; none where all are alike. */
  front: ReadonlySet<number>;
  bring: (code: number) => void;
  choose: (code: number) => void;
  pick: (field: string) => void;
}

export function Legend({ colours, fields, front, bring, choose, pick }: LegendProps) {
  const all = colours.codes.length;
  const rows: [number, string, number][] = colours.names.map((name, code) => [code, name, colours.counts[code] ?? 0]);
  if (colours.unknown) rows.push([UNKNOWN, "not known", colours.unknown]);
  return (
    <section class="map-legend" aria-label="Colours">
      <label class="field">
        Colour by{" "}
        <select value={colours.field} onChange={(event) => pick(event.currentTarget.value)}>
          {Object.keys(fields).map((field) => (
            <option key={field} value={field}>
              {fieldTitle(field)}
            </option>
          ))}
        </select>
      </label>
      {colours.kind === "number" ? (
        <Ramp colours={colours} />
      ) : (
        <ul class="plain">
          {rows.map(([code, name, points]) => {
            const where = code === UNKNOWN ? null : whereOf(colours.field, name, colours.names);
            return (
              <li key={code} class="row">
                <button type="button" class="map-value" aria-pressed={front.has(code)} onClick={() => bring(code)}>
                  <Sample colours={colours} code={code} />
                  <span>{name}</span>
                  <span class="quiet">
                    {count(points)} ({percent(points / Math.max(all, 1))})
                  </span>
                </button>
                <button type="button" class="bare" onClick={() => choose(code)} aria-label={`Select ${count(points)} points: ${name}`} title={`Select ${count(points)}`}>
                  ＋
                </button>
                {where && (
                  <a class="small" href={href("cases", "", { where })} aria-label={`Cases: ${name}`}>
                    Cases
                  </a>
                )}
              </li>
            );
          })}
        </ul>
      )}
    </section>
  );
}

function Ramp({ colours }: { colours: Colours }) {
  return (
    <div>
      <div class="map-ramp" aria-hidden="true">
        {Array.from({ length: 20 }, (_, i) => (
          <span key={i} style={{ background: css(rampAt(i / 19)) }} />
        ))}
      </div>
      <p class="row spread small">
        <span>{figure(colours.low, 1)}</span>
        <span>{figure(colours.high, 1)}</span>
      </p>
      {colours.unknown > 0 && <p class="quiet small">{count(colours.unknown)} points have none; they are grey.</p>}
    </div>
  );
}

const PATHS: Record<(typeof SHAPES)[number], string> = {
  circle: "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2z",
  square: "M2.500 2.500h11v11h-11z",
  triangle: "M8 2l6.500 11.500h-13z",
  diamond: "M8 1l7 7-7 7-7-7z",
  plus: "M6 1h4v5h5v4h-5v5H6v-5H1V6h5z",
  cross: "M3 1l5 5 5-5 2 2-5 5 5 5-2 2-5-5-5 5-2-2 5-5-5-5z",
};

function Sample({ colours, code }: { colours: Colours; code: number }) {
  const look = lookFor(colours, code);
  return (
    <svg class="map-sample" viewBox="0 0 16 16" aria-hidden="true">
      <path d={PATHS[SHAPES[look.shape]!]} fill={css(look.colour)} />
    </svg>
  );
}
