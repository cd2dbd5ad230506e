// One probe: figures with intervals, curves, a threshold to move, subgroups, of whom it learned, and its card.
import { figure, moment, plural } from "../../format";
import { get, useLoad } from "../../http";
import { AsData } from "../../parts/as_data";
import { Icon } from "../../parts/icon";
import { ListState, Skeleton } from "../../parts/states";
import { Table } from "../../parts/table";
import { href, ROOT, setQuery } from "../../router";
import { Estimate, Facts, Plot } from "./charts";
import { attribute, type Curves, type LabelCurves, type Probe, type ProbeLabel } from "./models";
import { Followed, useOrders } from "./orders";
import { Suspects } from "./suspects";
import { chosenStep, confusion, Threshold } from "./threshold";

export function OneProbe({ name, query }: { name: string; query: URLSearchParams }) {
  const path = `/v1/probes/${encodeURIComponent(name)}`;
  const found = useLoad(path, async (signal) => {
    const [probe, curves] = await Promise.all([get<Probe>(path, {}, signal), get<Curves>(`${path}/curves`, {}, signal)]);
    return { probe, curves };
  });
  return (
    <ListState of={found} skeleton={<Skeleton rows={3} kind="block" />}>
      {({ probe, curves }) => <Shown probe={probe} curves={curves} query={query} path={path} />}
    </ListState>
  );
}

function Shown({ probe, curves, query, path }: { probe: Probe; curves: Curves; query: URLSearchParams; path: string }) {
  const orders = useOrders();
  const label = probe.labels.find((one) => one.label === query.get("label")) ?? probe.labels[0];
  const own = curves.labels.find((one) => one.label === label?.label);
  const versioned = probe.version ? `${probe.name}@${probe.version}` : probe.name;
  return (
    <>
      <nav aria-label="Where this is">
        <a href={href("models")}>
          <Icon name="left" /> Probes
        </a>
      </nav>
      <div class="row spread">
        <h2>{probe.name}</h2>
        <span class="row">
          <a class="button" href={`${ROOT}${path}/card`} target="_blank" rel="noreferrer">
            Probe card
          </a>
          <a class="button" href={`${ROOT}${path}/export`} download>
            Export
          </a>
          {orders.allowed && (
            <>
              <button type="button" disabled={orders.busy} onClick={() => orders.start(`${path}/predictions`, { where: [] })}>
                Score the archive
              </button>
              <button type="button" disabled={orders.busy} onClick={() => orders.start("/v1/calibrations", { probe: probe.name })}>
                Calibrate
              </button>
            </>
          )}
          <AsData json={path} command={`medsiglip probe show ${versioned}`} />
        </span>
      </div>
      <Followed orders={orders} query={query} />
      <Facts
        all={[
          ["Version", probe.version ?? "–"],
          ["By", probe.level],
          ["Patients", probe.groups],
          ["Figures", probe.split ? `on the test part of ${probe.split}` : `out of fold, ${plural(probe.folds ?? 0, "fold")} by patient`],
          ["Macro AUROC", figure(probe.macro_auroc)],
          ["Stored predictions", probe.predictions ?? 0],
          ["Trained", moment(probe.trained_at)],
        ]}
      />
      {probe.warnings.map((one) => (
        <p key={one} class="must">
          <Icon name="warning" /> {one}
        </p>
      ))}
      <LabelTable probe={probe} chosen={label?.label ?? ""} />
      {label && <OfLabel label={label} curves={own} query={query} />}
      <Population probe={probe} />
      <Suspects path={path} />
    </>
  );
}

function LabelTable({ probe, chosen }: { probe: Probe; chosen: string }) {
  return (
    <Table
      caption="Figures of the probe's labels"
      rows={probe.labels}
      rowKey={(one) => one.label}
      rowProps={(one) => ({ class: one.label === chosen && probe.labels.length > 1 ? "selected" : undefined })}
      columns={[
        {
          name: "label",
          title: "Label",
          show: (one) =>
            probe.labels.length > 1 ? (
              <button type="button" class="bare" aria-pressed={one.label === chosen} onClick={() => setQuery({ label: one.label, threshold: null })}>
                {one.label}
              </button>
            ) : (
              one.label
            ),
        },
        { name: "n", title: "Cases", number: true, show: (one) => one.n },
        { name: "positive", title: "Positive", number: true, show: (one) => one.positive },
        { name: "auroc", title: "AUROC", number: true, show: (one) => <Estimate value={one.auroc} ci={one.auroc_ci} /> },
        { name: "auprc", title: "Average precision", number: true, show: (one) => <Estimate value={one.auprc} ci={one.auprc_ci} /> },
        { name: "sensitivity", title: "Sensitivity at 0.5", number: true, show: (one) => <Estimate value={one.sensitivity} ci={one.sensitivity_ci} /> },
        { name: "specificity", title: "Specificity at 0.5", number: true, show: (one) => <Estimate value={one.specificity} ci={one.specificity_ci} /> },
        { name: "ece", title: "Calibration error", number: true, show: (one) => <Estimate value={one.calibration_error} ci={one.calibration_error_ci} digits={3} /> },
      ]}
    />
  );
}

function OfLabel({ label, curves, query }: { label: ProbeLabel; curves: LabelCurves | undefined; query: URLSearchParams }) {
  const step = chosenStep(query);
  const at = curves?.counts ? confusion(curves.counts, step) : null;
  const share = (hits: number, others: number) => (hits + others ? hits / (hits + others) : 0);
  const here = at && { x: share(at.fp, at.tn), y: share(at.tp, at.fn) };
  const precise = at && at.tp + at.fp > 0 ? { x: share(at.tp, at.fn), y: share(at.tp, at.fp) } : null;
  const learning = label.learning_curve ?? [];
  return (
    <>
      <h2>{label.label}</h2>
      {label.caution && <p class="must">{label.caution}</p>}
      {curves && (
        <>
          <Threshold curves={curves} points={label.operating_points ?? []} step={step} />
          <div class="plots">
            {curves.roc.length > 0 && (
              <Plot
                title="Receiver operating characteristic"
                words={`AUROC ${figure(label.auroc)}; the ring is the threshold`}
                x="1 − specificity"
                y="Sensitivity"
                points={curves.roc.map(([x, y]) => ({ x, y }))}
                line
                diagonal="a random score"
                chosen={here}
              />
            )}
            {curves.precision_recall.length > 0 && (
              <Plot
                title="Precision and recall"
                words={`average precision ${figure(label.auprc)}; the ring is the threshold`}
                x="Recall"
                y="Precision"
                points={curves.precision_recall.map(([x, y]) => ({ x, y }))}
                line
                chosen={precise}
              />
            )}
            {curves.reliability.length > 0 ? (
              <Plot
                title="Reliability"
                words={`expected calibration error ${figure(label.calibration_error, 3)}`}
                x="Mean score"
                y="Observed rate"
                points={curves.reliability.map((one) => ({ x: one.predicted, y: one.observed, ci: one.observed_ci, note: String(one.n) }))}
                marks
                diagonal="scores that are the rates"
                noteTitle="Cases"
              />
            ) : (
              <p class="quiet plot">Too few patients for a reliability plot: 20 are needed.</p>
            )}
            {learning.length > 1 && (
              <Plot
                title="Learning curve"
                words="AUROC out of fold after training on fewer patients; bars are the least and greatest of several draws"
                x="Patients"
                y="AUROC"
                points={learning.filter((one) => one.auroc !== null).map((one) => ({ x: one.groups, y: one.auroc!, ci: one.lowest !== null && one.highest !== null ? [one.lowest, one.highest] : null }))}
                line
                marks
                from={[0, 0]}
                to={[Math.max(...learning.map((one) => one.groups)), 1]}
              />
            )}
          </div>
        </>
      )}
      <Subgroups label={label} />
    </>
  );
}

function Subgroups({ label }: { label: ProbeLabel }) {
  if (!label.subgroups?.length) return null;
  return (
    <section>
      <h2>Subgroups</h2>
      <Table
        caption="Subgroups"
        rows={label.subgroups}
        rowKey={(one) => `${one.attribute} ${one.value}`}
        columns={[
          { name: "group", title: "Group", show: (one) => `${attribute(one.attribute)}: ${one.value}` },
          { name: "n", title: "Cases", number: true, show: (one) => one.n },
          { name: "groups", title: "Patients", number: true, show: (one) => one.groups },
          { name: "positive", title: "Positive", number: true, show: (one) => one.positive },
          { name: "auroc", title: "AUROC", number: true, show: (one) => <Estimate value={one.auroc} ci={one.auroc_ci} /> },
          { name: "difference", title: "Less others", number: true, show: (one) => figure(one.difference) },
          { name: "p", title: "p, adjusted", number: true, show: (one) => figure(one.p_value, 3) },
          { name: "predicted", title: "Mean score", number: true, show: (one) => figure(one.predicted) },
          { name: "observed", title: "Observed rate", number: true, show: (one) => figure(one.observed) },
          { name: "warning", title: "Notes", show: (one) => one.warning ?? "" },
        ]}
      />
    </section>
  );
}

function Population({ probe }: { probe: Probe }) {
  const of = probe.population;
  if (!of) return null;
  const counts = (values: Record<string, number>) =>
    Object.entries(values)
      .map(([name, n]) => `${name} ${n}`)
      .join(", ") || "–";
  return (
    <section>
      <h2>Of whom it learned</h2>
      <Facts
        all={[
          ["Patients", of.patients],
          ["Studies", of.studies],
          ["Sex", counts(of.patient_sex)],
          ["Age", counts(of.age)],
          ["Manufacturer", counts(of.manufacturer)],
          ["Site", counts(of.site)],
          ["Study dates", of.study_dates ? `${of.study_dates[0]} to ${of.study_dates[1]}` : "–"],
        ]}
      />
    </section>
  );
}
