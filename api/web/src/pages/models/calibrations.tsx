// Calibrations: probabilities that were fitted to labelled cases, what they are worth, and how to make one.
import { useState } from "preact/hooks";
import { moment, percent, plural } from "../../format";
import { del, get, Problem, useLoad } from "../../http";
import { announce } from "../../parts/announce";
import { AsData } from "../../parts/as_data";
import { Empty, Failed, ListState } from "../../parts/states";
import { Table } from "../../parts/table";
import { setQuery } from "../../router";
import { useKnown } from "../../session";
import { Estimate, Plot } from "./charts";
import type { Calibration, LabelCalibration, ProbeSummary } from "./models";
import { Followed, useOrders, type Orders } from "./orders";

const METHODS = ["auto", "temperature", "platt", "isotonic", "vector"];
const ERRORS = [0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3];
const LEVELS = ["study", "series", "image"];

export function Calibrations({ query }: { query: URLSearchParams }) {
  const orders = useOrders();
  const found = useLoad(`calibrations ${query.get("job") ?? ""}`, (signal) => get<{ calibrations: Calibration[] }>("/v1/calibrations", {}, signal));
  const subject = query.get("subject");
  return (
    <>
      {orders.allowed && <Make orders={orders} />}
      <Followed orders={orders} query={query}>
        {(job) =>
          job.status === "done" ? (
            <button type="button" onClick={found.retry}>
              Show what was made
            </button>
          ) : null
        }
      </Followed>
      <ListState of={found}>
        {({ calibrations }) => {
          const shown = calibrations.filter((one) => !subject || one.subject === subject);
          return (
            <>
              <div class="row spread">
                <p class="row">
                  {subject ? (
                    <>
                      Those of <code>{subject}</code>
                      <button type="button" onClick={() => setQuery({ subject: null })}>
                        Show all {calibrations.length}
                      </button>
                    </>
                  ) : (
                    <span class="quiet">{plural(calibrations.length, "calibration")}</span>
                  )}
                </p>
                <AsData json="/v1/calibrations" command="medsiglip calibrate list" />
              </div>
              {shown.length ? (
                shown.map((one) => <One key={`${one.subject} ${one.space} ${one.level}`} of={one} allowed={orders.allowed} changed={found.retry} />)
              ) : (
                <Empty title="There is no calibration yet">
                  <p>Without one, scores rank what is scored and do not say how likely a finding is. A calibration is fitted to labelled cases of this archive.</p>
                </Empty>
              )}
            </>
          );
        }}
      </ListState>
    </>
  );
}

function Make({ orders }: { orders: Orders }) {
  const { info } = useKnown();
  const probes = useLoad("probes", (signal) => get<{ probes: ProbeSummary[] }>("/v1/probes", {}, signal));
  const [asked, change] = useState({ subject: "", level: "", method: "auto", error: "0.1" });
  const set = (name: keyof typeof asked) => (event: { currentTarget: HTMLSelectElement }) => change({ ...asked, [name]: event.currentTarget.value });
  const start = (event: Event) => {
    event.preventDefault();
    const [kind, name] = asked.subject.split(/:(.*)/s, 2) as [string, string];
    orders.start("/v1/calibrations", { [kind]: name, method: asked.method, error: Number(asked.error), ...(asked.level ? { level: asked.level } : {}) });
  };
  return (
    <details class="card">
      <summary>Make a calibration</summary>
      <form class="row filters" onSubmit={start}>
        <label>
          Of{" "}
          <select required value={asked.subject} onChange={set("subject")}>
            <option value="">choose…</option>
            <optgroup label="Prompt sets">
              {(info?.prompt_sets ?? []).map((one) => (
                <option key={one} value={`prompts:${one}`}>
                  {one}
                </option>
              ))}
            </optgroup>
            <optgroup label="Probes">
              {(probes.value?.probes ?? []).map((one) => (
                <option key={one.name} value={`probe:${one.name}`}>
                  {one.name}
                </option>
              ))}
            </optgroup>
          </select>
        </label>
        <label>
          By{" "}
          <select value={asked.level} onChange={set("level")}>
            <option value="">its own level</option>
            {LEVELS.map((one) => (
              <option key={one} value={one}>
                {one}
              </option>
            ))}
          </select>
        </label>
        <label>
          Method{" "}
          <select value={asked.method} onChange={set("method")}>
            {METHODS.map((one) => (
              <option key={one} value={one}>
                {one}
              </option>
            ))}
          </select>
        </label>
        <label>
          Error bound{" "}
          <select value={asked.error} onChange={set("error")}>
            {ERRORS.map((one) => (
              <option key={one} value={String(one)}>
                {percent(one)}
              </option>
            ))}
          </select>
        </label>
        <button type="submit" class="primary" disabled={orders.busy || !asked.subject}>
          Calibrate
        </button>
      </form>
    </details>
  );
}

function One({ of, allowed, changed }: { of: Calibration; allowed: boolean; changed: () => void }) {
  const [problem, fail] = useState<Problem | null>(null);
  const [sure, ask] = useState(false);
  const remove = () =>
    del(`/v1/calibrations/${encodeURIComponent(of.subject)}`, { level: of.level }).then(
      () => {
        announce("The calibration is removed");
        changed();
      },
      (error: unknown) => error instanceof Problem && fail(error),
    );
  const plotted = of.labels.filter((one) => one.reliability?.length);
  return (
    <section class="card">
      <div class="row spread">
        <h2>
          {of.subject} <span class="quiet">by {of.level}</span>
        </h2>
        {allowed &&
          (sure ? (
            <span class="row">
              <button type="button" onClick={() => void remove()}>
                Remove it, with all versions
              </button>
              <button type="button" onClick={() => ask(false)}>
                Keep it
              </button>
            </span>
          ) : (
            <button type="button" onClick={() => ask(true)}>
              Remove…
            </button>
          ))}
      </div>
      {problem && <Failed problem={problem} />}
      {of.active === false && <p class="must">It was made for another model than the archive works with now.</p>}
      {of.outdated && <p class="must">The texts, or the probe, have changed since: it is not applied. Calibrate again.</p>}
      {(of.warnings ?? []).map((one) => (
        <p key={one} class="must">
          {one}
        </p>
      ))}
      <Labels all={of.labels} caption={`Labels of ${of.subject} by ${of.level}`} />
      {plotted.length > 0 && (
        <details open={plotted.length <= 3}>
          <summary>Reliability of {plural(plotted.length, "label")}</summary>
          <div class="plots">
            {plotted.map((one) => (
              <Plot
                key={one.label}
                title={`${one.label}, ${of.subject} by ${of.level}`}
                words="calibrated probabilities out of fold, and how often they come true"
                x="Mean probability"
                y="Observed rate"
                points={one.reliability!.map((bin) => ({ x: bin.predicted, y: bin.observed, ci: bin.ci, note: `${bin.n} of ${bin.patients}` }))}
                marks
                diagonal="probabilities that are the rates"
                noteTitle="Cases of patients"
              />
            ))}
          </div>
        </details>
      )}
    </section>
  );
}

function Labels({ all, caption }: { all: readonly LabelCalibration[]; caption: string }) {
  return (
    <Table
      caption={caption}
      rows={all}
      rowKey={(one) => `${one.label} ${one.version}`}
      columns={[
        { name: "label", title: "Label", show: (one) => (one.label === "*" ? "all classes" : one.label) },
        { name: "method", title: "Method", show: (one) => one.method },
        { name: "n", title: "Cases", number: true, show: (one) => one.n },
        { name: "patients", title: "Patients", number: true, show: (one) => one.patients },
        { name: "before", title: "Error before", number: true, show: (one) => <Estimate value={one.error_before} ci={one.error_before_ci} digits={3} /> },
        { name: "after", title: "Error after", number: true, show: (one) => <Estimate value={one.error_after} ci={one.error_after_ci} digits={3} /> },
        { name: "bound", title: "Bound", number: true, show: (one) => percent(one.error) },
        {
          name: "covered",
          title: "Sets that hold the truth",
          show: (one) =>
            (one.covered ?? []).map((part) => (
              <div key={part.of}>
                {part.of}: {percent(part.share)}{" "}
                <span class="quiet">
                  ({percent(part.ci[0])} to {percent(part.ci[1])})
                </span>
              </div>
            )),
        },
        { name: "undecided", title: "Undecided", number: true, show: (one) => percent(one.undecided) },
        { name: "made", title: "Made", show: (one) => moment(one.created_at ?? null) },
        { name: "reason", title: "Notes", show: (one) => one.reason ?? "" },
      ]}
    />
  );
}
