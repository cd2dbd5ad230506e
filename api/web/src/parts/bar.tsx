// A score as a bar: calibrated with its interval and verdict, or plainly a score.
import { figure } from "../format";
import { Icon, type IconName } from "./icon";

export type Verdict = "present" | "absent" | "undecided" | "out-of-scope";

const SIGNS: Record<Verdict, [IconName, string]> = {
  present: ["check", "present"],
  absent: ["cross", "absent"],
  undecided: ["question", "undecided"],
  "out-of-scope": ["dash", "out of scope"],
};

export function VerdictSign({ verdict }: { verdict: Verdict }) {
  const [icon, word] = SIGNS[verdict] ?? ["question", verdict];
  return (
    <span class={`verdict verdict-${verdict}`}>
      <Icon name={icon} /> {word}
    </span>
  );
}

export interface BarProps {
  label: string;
  /** 0 to 1; null where there is no number. */
  value: number | null;
  interval?: readonly [number, number] | null;
  calibrated?: boolean;
  verdict?: Verdict | null;
  /** What the number is worth: "out of fold", "made for another model". */
  note?: string;
  threshold?: number | null;
}

export function Bar({ label, value, interval, calibrated, verdict, note, threshold }: BarProps) {
  const unsure = verdict === "undecided" || verdict === "out-of-scope";
  const words = [
    value === null ? "no score" : `${calibrated ? "probability" : "score, not calibrated,"} ${figure(value)}`,
    interval ? `interval ${figure(interval[0])} to ${figure(interval[1])}` : "",
    verdict ? SIGNS[verdict][1] : "",
    note ?? "",
  ];
  return (
    <div class={`bar${unsure ? " bar-unsure" : ""}${calibrated ? "" : " bar-uncalibrated"}`}>
      <span class="bar-label">{label}</span>
      <span class="bar-track" role="img" aria-label={`${label}: ${words.filter(Boolean).join(", ")}`}>
        {value !== null && <span class="bar-value" style={{ width: `${100 * clip(value)}%` }} />}
        {interval && (
          <span
            class="bar-interval"
            style={{ left: `${100 * clip(interval[0])}%`, width: `${100 * (clip(interval[1]) - clip(interval[0]))}%` }}
          />
        )}
        {threshold != null && <span class="bar-threshold" style={{ left: `${100 * clip(threshold)}%` }} />}
      </span>
      <span class="bar-figure">{figure(value)}</span>
      {verdict ? <VerdictSign verdict={verdict} /> : <span class="quiet">{calibrated ? "" : "score"}</span>}
      {note && <span class="bar-note quiet">{note}</span>}
    </div>
  );
}

const clip = (x: number): number => Math.min(1, Math.max(0, x));
