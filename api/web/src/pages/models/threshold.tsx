// A threshold that is moved, and what it calls right and wrong, of all cases and of each subgroup.
import { percent } from "../../format";
import { Table } from "../../parts/table";
import { setQuery } from "../../router";
import { Estimate } from "./charts";
import { attribute, type LabelCurves, type OperatingPoint, type ScoreCounts } from "./models";

export interface Confusion {
  tp: number;
  fp: number;
  fn: number;
  tn: number;
}

/** The cases of steps below the threshold are called negative, those of it and above positive. */
export function confusion(counts: ScoreCounts, step: number): Confusion {
  const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
  return {
    tp: sum(counts.positive.slice(step)),
    fn: sum(counts.positive.slice(0, step)),
    fp: sum(counts.negative.slice(step)),
    tn: sum(counts.negative.slice(0, step)),
  };
}

/** Wilson's 95 % interval of a share (E. B. Wilson, J. Am. Stat. Assoc. 22, 1927). */
export function wilson(hits: number, n: number): [number, number] | null {
  if (!n) return null;
  const z = 1.959964;
  const share = hits / n;
  const middle = (share + (z * z) / (2 * n)) / (1 + (z * z) / n);
  const half = (z * Math.sqrt((share * (1 - share)) / n + (z * z) / (4 * n * n))) / (1 + (z * z) / n);
  return [Math.max(0, middle - half), Math.min(1, middle + half)];
}

export const STEPS = 50;

export function chosenStep(query: URLSearchParams): number {
  const asked = query.get("threshold");
  const value = asked === null ? 0.5 : Number(asked);
  return Number.isFinite(value) ? Math.min(STEPS, Math.max(0, Math.round(value * STEPS))) : STEPS / 2;
}

const RULES: Record<OperatingPoint["rule"], string> = { youden: "Youden's point", sensitivity: "sensitivity", specificity: "specificity" };

interface Row extends Confusion {
  name: string;
}

export function Threshold({ curves, points, step }: { curves: LabelCurves; points: readonly OperatingPoint[]; step: number }) {
  if (!curves.counts) return <p class="quiet">This probe was trained by an earlier version, which kept no counts: train it again to move its threshold.</p>;
  const rows: Row[] = [
    { name: "All cases", ...confusion(curves.counts, step) },
    ...curves.subgroups.map((one) => ({ name: `${attribute(one.attribute)}: ${one.value}`, ...confusion(one.counts, step) })),
  ];
  const share = (hits: number, n: number) => {
    const ci = wilson(hits, n);
    return ci ? <Estimate value={hits / n} ci={ci} /> : "–";
  };
  return (
    <section class="card" aria-label="Threshold">
      <h2>Threshold</h2>
      <div class="row">
        <label class="threshold">
          Called positive from a score of <output>{(step / STEPS).toFixed(2)}</output>
          <input
            type="range"
            min={0}
            max={STEPS}
            step={1}
            value={step}
            aria-valuetext={(step / STEPS).toFixed(2)}
            onInput={(event) => setQuery({ threshold: (Number(event.currentTarget.value) / STEPS).toFixed(2) }, { replace: true })}
          />
        </label>
        {points.map((one) => (
          <button key={`${one.rule} ${one.target}`} type="button" onClick={() => setQuery({ threshold: (Math.round(one.threshold * STEPS) / STEPS).toFixed(2) }, { replace: true })}>
            {RULES[one.rule]}
            {one.target !== null && ` ${percent(one.target)}`}
          </button>
        ))}
      </div>
      <Table
        caption="What is called right and wrong at this threshold"
        rows={rows}
        rowKey={(row) => row.name}
        columns={[
          { name: "name", title: "Cases", show: (row) => row.name },
          { name: "tp", title: "TP", number: true, show: (row) => row.tp },
          { name: "fn", title: "FN", number: true, show: (row) => row.fn },
          { name: "fp", title: "FP", number: true, show: (row) => row.fp },
          { name: "tn", title: "TN", number: true, show: (row) => row.tn },
          { name: "sensitivity", title: "Sensitivity", number: true, show: (row) => share(row.tp, row.tp + row.fn) },
          { name: "specificity", title: "Specificity", number: true, show: (row) => share(row.tn, row.tn + row.fp) },
          { name: "ppv", title: "PPV", number: true, show: (row) => share(row.tp, row.tp + row.fp) },
          { name: "npv", title: "NPV", number: true, show: (row) => share(row.tn, row.tn + row.fn) },
        ]}
      />
      <p class="quiet">
        TP, FN: cases with the label that are called positive and negative; FP, TN: those without it; PPV, NPV: predictive values. Out of fold, in steps of 0.02; intervals are Wilson's, of cases, and too narrow where a patient has several. Predictive values are those of this archive's share of
        positive cases.
      </p>
    </section>
  );
}
