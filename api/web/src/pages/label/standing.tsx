// Where the work stands: what is left, how readers agree, and how well the label can be learned by now.
import { useState } from "preact/hooks";
import { figure, percent, plural } from "../../format";
import { get, useLoad } from "../../http";
import { href } from "../../router";
import { ListState, Skeleton } from "../../parts/states";
import { Table } from "../../parts/table";
import { agreementAddress, curveAddress, type Agreement, type Curve, type Pair, type Task } from "./ask";
import { CurvePlot } from "./curve_plot";
import type { Work } from "./work";

/** After so many labels figures are asked for anew. */
const EVERY = 5;

export function Left({ work }: { work: Work }) {
  const all = work.labelled + work.remaining;
  const words = `${work.labelled} of ${plural(all, "case")} labelled by you, ${work.remaining} left`;
  return (
    <section class="card" aria-label="What is left">
      <progress value={work.labelled} max={Math.max(all, 1)} aria-label={words} /> <span>{words}</span>
      {work.queue?.by && <p class="quiet">The order is by {work.queue.by}.</p>}
      {work.queue?.warnings.map((one) => (
        <p key={one} class="quiet">
          {sentence(one)}
        </p>
      ))}
    </section>
  );
}

export function Figures({ task, work }: { task: Task; work: Work }) {
  const [open, show] = useState(false);
  const label = task.labels[0]!;
  const round = Math.floor(work.changes / EVERY);
  return (
    <details class="card label-figures" onToggle={(event) => show(event.currentTarget.open)}>
      <summary>Agreement and learning curve of {label}</summary>
      {open && (
        <>
          <AgreementOf label={label} round={round} task={task} />
          <CurveOf label={label} round={round} />
        </>
      )}
    </details>
  );
}

function AgreementOf({ label, round, task }: { label: string; round: number; task: Task }) {
  const found = useLoad(`${label} ${round}`, (signal) => get<Agreement>(agreementAddress(label), {}, signal));
  if (found.state === "error" && found.problem.code === "unknown-label") return <p class="quiet">Nobody has given this label yet.</p>;
  return (
    <ListState of={found} skeleton={<Skeleton rows={2} />}>
      {(value) => (
        <section aria-label="Agreement between readers">
          <h2>Agreement between readers</h2>
          {value.pairs.length ? (
            <Table
              caption={`Agreement of each two readers on ${label}`}
              rows={value.pairs}
              rowKey={(one) => one.readers.join("\n")}
              columns={[
                { name: "readers", title: "Readers", show: (one: Pair) => one.readers.join(" and ") },
                { name: "n", title: "Cases", number: true, show: (one: Pair) => one.n },
                { name: "agreement", title: "Agree", number: true, show: (one: Pair) => percent(one.agreement) },
                { name: "kappa", title: "Kappa (95 %)", number: true, show: (one: Pair) => withInterval(one.kappa, one.kappa_ci) },
              ]}
            />
          ) : (
            <p class="quiet">{value.warnings.map(sentence).join(" ") || "No two readers have read the same case yet."}</p>
          )}
          {value.pairs.length > 1 && <p>Krippendorff's alpha of all: {withInterval(value.alpha, value.alpha_ci)}</p>}
          {value.disagreements.length > 0 && (
            <p>
              {plural(value.disagreements.length, "case")} with both values, {value.undecided} evenly divided.{" "}
              {task.order !== "disagreement" && (
                <a href={href("label", "", { label: task.labels, order: "disagreement", where: task.where })}>Read these next</a>
              )}
            </p>
          )}
        </section>
      )}
    </ListState>
  );
}

function CurveOf({ label, round }: { label: string; round: number }) {
  const found = useLoad(`${label} ${round}`, (signal) => get<Curve>(curveAddress(label), {}, signal));
  if (found.state === "error" && found.problem.code === "unknown-label") return null;
  return (
    <ListState of={found} skeleton={<Skeleton rows={1} kind="block" />}>
      {(value) => (
        <section aria-label="Learning curve">
          <h2>Learning curve</h2>
          <CurvePlot curve={value} />
          {value.warnings.map((one) => (
            <p key={one} class="quiet">
              {sentence(one)}
            </p>
          ))}
        </section>
      )}
    </ListState>
  );
}

const withInterval = (value: number | null, ci: readonly [number | null, number | null]): string =>
  value === null ? "–" : `${figure(value)} (${figure(ci[0])} to ${figure(ci[1])})`;

const sentence = (text: string): string => `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
