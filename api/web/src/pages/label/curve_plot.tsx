// AUROC against the number of labelled cases, with its interval: drawn, and as a table.
import { figure } from "../../format";
import { Table } from "../../parts/table";
import type { Curve, Step } from "./ask";

const WIDE = 320;
const HIGH = 160;
const LEFT = 40;
const BELOW = 36;
const TICKS = [0.25, 0.5, 0.75, 1];

export function CurvePlot({ curve }: { curve: Curve }) {
  const known = curve.points.filter((one): one is Step & { auroc: number } => one.auroc !== null);
  const most = Math.max(20, ...curve.points.map((one) => one.n));
  // Doubling is one step, as the points are.
  const across = (n: number) => LEFT + (WIDE * Math.log2(Math.max(n, 8) / 8)) / Math.log2(most / 8);
  const up = (share: number) => 8 + HIGH * (1 - share);
  const last = known[known.length - 1];
  const words = last ? `AUROC ${figure(last.auroc)} with ${last.n} cases` : "no AUROC yet";
  return (
    <figure class="label-curve">
      <svg viewBox={`0 0 ${LEFT + WIDE + 16} ${HIGH + BELOW + 8}`} role="img" aria-label={`Learning curve: ${words}. The table below has all points.`}>
        {TICKS.map((share) => (
          <g key={share}>
            <line class="label-grid" x1={LEFT} x2={LEFT + WIDE} y1={up(share)} y2={up(share)} />
            <text x={LEFT - 5} y={up(share) + 4} text-anchor="end">
              {figure(share)}
            </text>
          </g>
        ))}
        {curve.points.map((one) => (
          <text key={one.n} x={across(one.n)} y={HIGH + 24} text-anchor="middle">
            {one.n}
          </text>
        ))}
        <text x={LEFT + WIDE / 2} y={HIGH + BELOW + 4} text-anchor="middle">
          labelled cases
        </text>
        <line class="label-chance" x1={LEFT} x2={LEFT + WIDE} y1={up(0.5)} y2={up(0.5)} />
        {known.length > 1 && <polyline class="label-line" points={known.map((one) => `${across(one.n)},${up(one.auroc)}`).join(" ")} />}
        {known.map((one) => (
          <g key={one.n}>
            {one.auroc_ci[0] !== null && one.auroc_ci[1] !== null && (
              <line class="label-interval" x1={across(one.n)} x2={across(one.n)} y1={up(one.auroc_ci[0])} y2={up(one.auroc_ci[1])} />
            )}
            <circle class="label-point" cx={across(one.n)} cy={up(one.auroc)} r={4} />
          </g>
        ))}
      </svg>
      <figcaption class="quiet">AUROC of a linear fit to the first cases that were labelled, out of fold; dashed: chance.</figcaption>
      <Table
        caption="Points of the learning curve"
        rows={curve.points}
        rowKey={(one) => one.n}
        columns={[
          { name: "n", title: "Cases", number: true, show: (one: Step) => one.n },
          { name: "positive", title: "With it", number: true, show: (one: Step) => one.positive },
          {
            name: "auroc",
            title: "AUROC (95 %)",
            number: true,
            show: (one: Step) => (one.auroc === null ? "too few" : `${figure(one.auroc)} (${figure(one.auroc_ci[0])} to ${figure(one.auroc_ci[1])})`),
          },
        ]}
      />
    </figure>
  );
}
