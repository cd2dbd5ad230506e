// The bundled prompt sets, what each is for, and what it is worth on this archive's labelled cases.
import { figure, plural } from "../../format";
import { get, useLoad } from "../../http";
import { AsData } from "../../parts/as_data";
import { Icon } from "../../parts/icon";
import { Empty, ListState } from "../../parts/states";
import { Table } from "../../parts/table";
import { href } from "../../router";
import type { Job } from "../ingest/jobs";
import { Estimate, Facts } from "./charts";
import type { LabelFigures, PromptSet } from "./models";
import { Followed, useOrders } from "./orders";

// Of the latest evaluations, so many are looked at for one of this set.
const LOOKED_AT = 10;

interface Evaluation {
  evaluation?: string;
  prompts?: string;
  level: string;
  labels: LabelFigures[];
  unlabelled: string[];
  macro_auroc: number | null;
  warnings: string[];
}

export function PromptSets({ query }: { query: URLSearchParams }) {
  const found = useLoad("prompt sets", (signal) => get<{ prompt_sets: PromptSet[] }>("/v1/prompt-sets", {}, signal));
  const name = query.get("set");
  return (
    <ListState of={found}>
      {({ prompt_sets: sets }) => {
        if (!name) return <Sets sets={sets} />;
        const one = sets.find((set) => set.name === name);
        if (one) return <OneSet key={name} set={one} query={query} />;
        return (
          <Empty title="There is no such prompt set">
            <a href={href("models", "", { tab: "prompts" })}>All prompt sets</a>
          </Empty>
        );
      }}
    </ListState>
  );
}

function Sets({ sets }: { sets: readonly PromptSet[] }) {
  return (
    <>
      <div class="row spread">
        <p class="quiet">{plural(sets.length, "prompt set")}: labels in words, scored without training</p>
        <AsData json="/v1/prompt-sets" command="medsiglip classify --help" />
      </div>
      <Table
        caption="Prompt sets"
        rows={sets}
        rowKey={(one) => one.name}
        columns={[
          { name: "name", title: "Prompt set", show: (one) => <a href={href("models", "", { tab: "prompts", set: one.name })}>{one.name}</a> },
          { name: "kind", title: "Kind", show: (one) => (one.exclusive ? "one of its classes" : "each label on its own") },
          { name: "labels", title: "Labels", number: true, show: (one) => one.labels.length },
          { name: "modalities", title: "Modalities", show: (one) => one.modalities.join(", ") || "any" },
          { name: "regions", title: "Part of the body", show: (one) => one.regions.join(", ") || "any" },
          { name: "population", title: "Patients", show: (one) => one.population },
        ]}
      />
    </>
  );
}

function OneSet({ set, query }: { set: PromptSet; query: URLSearchParams }) {
  const orders = useOrders();
  const latest = useLoad(`evaluation of ${set.name}`, (signal) => latestOf(set.name, signal));
  return (
    <>
      <nav aria-label="Where this is">
        <a href={href("models", "", { tab: "prompts" })}>
          <Icon name="left" /> Prompt sets
        </a>
      </nav>
      <div class="row spread">
        <h2>{set.name}</h2>
        {orders.allowed && (
          <span class="row">
            <button type="button" disabled={orders.busy} onClick={() => orders.start("/v1/evaluations", { kind: "zero-shot", prompts: set.name })}>
              Evaluate on labelled cases
            </button>
            <button type="button" disabled={orders.busy} onClick={() => orders.start("/v1/calibrations", { prompts: set.name })}>
              Calibrate
            </button>
            <a href={href("models", "", { tab: "calibrations", subject: `prompts:${set.name}` })}>Its calibrations</a>
          </span>
        )}
      </div>
      <Facts
        all={[
          ["Labels", set.labels.join(", ")],
          ["Kind", set.exclusive ? "one of its classes is so" : "each label is scored on its own"],
          ["Modalities", set.modalities.join(", ") || "any"],
          ["Part of the body", set.regions.join(", ") || "any"],
          ["Patients", set.population],
          ["Texts from", set.source],
        ]}
      />
      <Followed orders={orders} query={query}>
        {(job) => (job.kind === "evaluation" && job.status === "done" ? <Figures of={job.result as Evaluation} /> : null)}
      </Followed>
      {!query.get("job") && (
        <ListState of={latest}>
          {(found) =>
            found ? (
              <Figures of={found} />
            ) : (
              <Empty title="It was not evaluated here yet">
                <p>Figures need cases of this archive that carry labels of the same names: {set.labels.slice(0, 4).join(", ")} and so on.</p>
              </Empty>
            )
          }
        </ListState>
      )}
    </>
  );
}

/** The latest zero-shot evaluation of a prompt set that ended as done; null without one. */
async function latestOf(name: string, signal: AbortSignal): Promise<Evaluation | null> {
  const { jobs } = await get<{ jobs: Job[] }>("/v1/jobs", { kind: "evaluation", status: "done", limit: LOOKED_AT }, signal);
  for (const one of jobs) {
    const job = await get<Job>(`/v1/jobs/${one.id}`, {}, signal);
    const result = job.result as Evaluation | null;
    if (result?.prompts === name && result.labels) return result;
  }
  return null;
}

function Figures({ of }: { of: Evaluation }) {
  return (
    <section>
      <h2>Figures on labelled cases, by {of.level}</h2>
      <p>Macro AUROC {figure(of.macro_auroc)}</p>
      <Table
        caption="Figures of the labels"
        rows={of.labels}
        rowKey={(one) => one.label}
        columns={[
          { name: "label", title: "Label", show: (one) => one.label },
          { name: "n", title: "Cases", number: true, show: (one) => one.n },
          { name: "positive", title: "Positive", number: true, show: (one) => one.positive },
          { name: "auroc", title: "AUROC", number: true, show: (one) => <Estimate value={one.auroc} ci={one.auroc_ci} /> },
          { name: "auprc", title: "Average precision", number: true, show: (one) => <Estimate value={one.auprc} ci={one.auprc_ci} /> },
          { name: "sensitivity", title: "Sensitivity at 0.5", number: true, show: (one) => <Estimate value={one.sensitivity} ci={one.sensitivity_ci} /> },
          { name: "specificity", title: "Specificity at 0.5", number: true, show: (one) => <Estimate value={one.specificity} ci={one.specificity_ci} /> },
          { name: "note", title: "Notes", show: (one) => one.reason ?? one.caution ?? "" },
        ]}
      />
      {of.unlabelled.length > 0 && <p class="quiet">No case carries: {of.unlabelled.join(", ")}.</p>}
      {of.warnings.map((one) => (
        <p key={one} class="quiet">
          {one}
        </p>
      ))}
    </section>
  );
}
