// Where in the series one is, coloured by how strongly each slice scores for the chosen finding.
import { figure } from "../../format";

export interface SliceStripProps {
  count: number;
  index: number;
  go: (index: number) => void;
  /** Of each slice, 0 to 1; null where the model did not see it. */
  scores: readonly (number | null)[] | null;
  label: string | null;
  driving: number | null;
}

const MOST_CELLS = 200;

export function SliceStrip({ count, index, go, scores, label, driving }: SliceStripProps) {
  if (count < 2) return null;
  const known = (scores ?? []).filter((one): one is number => one !== null);
  const [least, most] = known.length ? [Math.min(...known), Math.max(...known)] : [0, 1];
  const cells = scores && label ? cellsOf(scores) : [];
  const now = scores?.[index];
  const said = label && now != null ? `, ${label} ${figure(now)}` : "";
  return (
    <div class="slice-strip">
      {cells.length > 0 && (
        <svg viewBox={`0 0 ${cells.length} 10`} preserveAspectRatio="none" role="img" aria-label={`Score of ${label} along the slices, ${figure(least)} to ${figure(most)}`}>
          {cells.map((one, at) => (
            <rect
              key={at}
              class={one === null ? "slice-unseen" : "slice-score"}
              x={at}
              y={0}
              width={1.02}
              height={10}
              fill-opacity={one === null ? undefined : 0.08 + 0.92 * ((one - least) / (most - least || 1))}
            />
          ))}
        </svg>
      )}
      {driving !== null && (
        <button
          type="button"
          class="slice-driving"
          style={{ left: `${(100 * (driving + 0.5)) / count}%` }}
          onClick={() => go(driving)}
          aria-label={`To the slice that drives ${label}: ${driving + 1}`}
          title={`Slice ${driving + 1} drives ${label}`}
        >
          ▲
        </button>
      )}
      <input
        type="range"
        min={1}
        max={count}
        value={index + 1}
        onInput={(event) => go(Number(event.currentTarget.value) - 1)}
        aria-label="Slice"
        aria-valuetext={`${index + 1} of ${count}${said}`}
      />
      {cells.length > 0 && (
        <p class="quiet slice-legend">
          <span>{label}, of each slice on its own, not calibrated:</span>
          <span>{figure(least)}</span>
          <span class="slice-ramp" aria-hidden="true" />
          <span>{figure(most)}</span>
          {now != null && <span>this slice {figure(now)}</span>}
        </p>
      )}
    </div>
  );
}

// At most so many cells; of several slices the highest score counts.
function cellsOf(scores: readonly (number | null)[]): (number | null)[] {
  const cells = Math.min(scores.length, MOST_CELLS);
  return Array.from({ length: cells }, (_, cell) => {
    const from = Math.floor((cell * scores.length) / cells);
    const to = Math.max(from + 1, Math.floor(((cell + 1) * scores.length) / cells));
    const own = scores.slice(from, to).filter((one): one is number => one !== null);
    return own.length ? Math.max(...own) : null;
  });
}
