// One job as it goes: its stages, what can be done with it, and what it answered.
import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import { moment, plural } from "../../format";
import { del, post, Problem } from "../../http";
import { announce } from "../../parts/announce";
import { AsData } from "../../parts/as_data";
import { Icon } from "../../parts/icon";
import { Progress } from "../../parts/progress";
import { Failed, Skeleton } from "../../parts/states";
import { href, ROOT, setQuery } from "../../router";
import { jobStarted } from "../../shell/job_bell";
import { duration, isActive, STAGES, useJob, type IngestReport, type Job } from "./jobs";
import { Pulled } from "../pacs/pull_report";
import type { Delivery, PullReport } from "../pacs/pacs";
import { Report } from "./report";

export interface JobViewProps {
  id: string;
  /** Show the job that stands in place of this one after another try; the list of jobs does otherwise. */
  follow?: (id: string) => void;
  /** Show it no more, where it cannot be had: it may be gone. */
  close?: () => void;
  children?: (job: Job) => ComponentChildren;
}

export function JobView({ id, follow, close, children }: JobViewProps) {
  const { job, problem, again } = useJob(id);
  const status = job?.status;
  useEffect(() => {
    if (job && !isActive(job)) announce(`The job ${job.kind} is ${job.status}`);
  }, [status]);
  if (problem) return <Failed problem={problem} retry={again} close={close} />;
  if (!job) return <Skeleton rows={3} />;
  const report = job.kind === "ingest" && job.status === "done" ? (job.result as IngestReport | null) : null;
  return (
    <section class="card job" aria-label={`Job ${job.kind}`}>
      <div class="row spread">
        <h2>
          {report?.dry_run ? "Dry run: nothing was stored" : title(job)} <span class={`status status-${job.status}`}>{job.status}</span>
        </h2>
        <span class="row">
          <Actions job={job} changed={again} follow={follow} />
          <AsData json={`/v1/jobs/${job.id}`} />
        </span>
      </div>
      <Stages job={job} />
      {isActive(job) && <Progress job={job} />}
      {job.status === "queued" && (
        <p class="quiet">
          Jobs go on one after the other. Where no worker runs (an administrator sees that under Audit, Health), it waits until one is
          started: <code>medsiglip worker</code>.
        </p>
      )}
      <p class="quiet">
        Asked {moment(job.created_at)}, ran {duration(job)}
        {job.attempts > 1 ? `, attempt ${job.attempts}` : ""}
      </p>
      {job.error && (
        <p class={job.status === "failed" ? "must" : "quiet"}>
          <Icon name="warning" /> {job.error.message} (<code>{job.error.code}</code>)
        </p>
      )}
      {report ? <Report report={report} /> : <Answer job={job} />}
      {children?.(job)}
    </section>
  );
}

const TITLES: Record<string, string> = {
  ingest: "Ingest",
  probe: "Training of a probe",
  predictions: "Predictions of a probe",
  calibration: "Calibration",
  evaluation: "Evaluation",
  report: "Draft",
  reembed: "Embedding anew",
  map: "Map",
  thumbnails: "Thumbnails",
  "pacs-pull": "Bringing in from the PACS",
  "pacs-sync": "Sync with the PACS",
  "pacs-fetch": "Fetching from the PACS",
  "pacs-release": "Deleting files that a PACS has",
  "pacs-send": "Sending to the PACS",
};

export const title = (job: Job): string => TITLES[job.kind] ?? job.kind;

/** The stages of a kind whose stages are known: done, going on, to come. */
function Stages({ job }: { job: Job }) {
  const dry = (job.result as IngestReport | null)?.dry_run ?? false;
  const stages = STAGES[job.kind]?.slice(0, dry ? 2 : undefined);
  if (!stages || job.status === "queued") return null;
  const at = job.status === "done" ? stages.length : Math.max(0, stages.indexOf(job.progress.stage));
  return (
    <ol class="job-stages" aria-label="Stages">
      {stages.map((stage, number) => {
        const state = number < at ? "done" : number === at && isActive(job) ? "now" : "to come";
        return (
          <li key={stage} class={`job-stage-${state.replace(" ", "-")}`} aria-current={state === "now" ? "step" : undefined}>
            <Icon name={state === "done" ? "check" : state === "now" ? "right" : "dash"} /> {stage}
            <span class="unseen">: {state}</span>
          </li>
        );
      })}
    </ol>
  );
}

/** Cancel what goes on, start again what failed. */
const followInList = (job: string) => setQuery({ tab: "jobs", job });

export function Actions({ job, changed, follow = followInList }: { job: Job; changed: () => void; follow?: (id: string) => void }) {
  const [problem, fail] = useState<Problem | null>(null);
  const act = (ask: () => Promise<unknown>, said: string) => {
    fail(null);
    ask().then(
      () => {
        announce(said);
        jobStarted();
        changed();
      },
      (error: unknown) => error instanceof Problem && fail(error),
    );
  };
  return (
    <>
      {isActive(job) && (
        <button type="button" onClick={() => act(() => del(`/v1/jobs/${job.id}`), "The job is asked to stop; what it has stored stays")}>
          Cancel<span class="unseen"> the job {job.kind}</span>
        </button>
      )}
      {(job.status === "failed" || job.status === "cancelled") && (
        <button
          type="button"
          onClick={() =>
            act(async () => {
              const next = await post<Job>(`/v1/jobs/${job.id}/retry`);
              follow(next.id);
            }, "The job is started again")
          }
        >
          Try again<span class="unseen"> the job {job.kind}</span>
        </button>
      )}
      {problem && (
        <span class="must" role="alert">
          {problem.detail || problem.title} (<code>{problem.code}</code>
          {problem.requestId && (
            <>
              , request <code>{problem.requestId}</code>
            </>
          )}
          )
        </span>
      )}
    </>
  );
}

function Delivered({ deliveries }: { deliveries: readonly Delivery[] }) {
  const [first] = deliveries;
  return first ? <a href={href("drafts", first.draft_id)}>Open the draft</a> : null;
}

interface ReleaseReport {
  studies: number;
  files: number;
  kept: number;
}

function Released({ report }: { report: ReleaseReport }) {
  return (
    <p>
      {plural(report.files, "file")} of {plural(report.studies, "study", "studies")} deleted.
      {report.kept > 0 && ` ${plural(report.kept, "study keeps its files", "studies keep their files")}: the PACS does not list every instance.`}
    </p>
  );
}

/** Where the result of other kinds is looked at. */
function Answer({ job }: { job: Job }) {
  if (job.status !== "done") return null;
  const result = (job.result ?? {}) as Record<string, unknown>;
  const text = (name: string): string => (typeof result[name] === "string" ? (result[name] as string) : "");
  if (job.kind === "report") return <a href={href("drafts", text("id"))}>Open the draft</a>;
  if (job.kind === "probe" || job.kind === "predictions") return <a href={href("models", "", { probe: text("name") })}>Open the probe {text("name")}</a>;
  if (job.kind === "calibration") return <a href={href("models", "", { tab: "calibrations", subject: text("subject") })}>Open the calibration</a>;
  if (job.kind === "pacs-pull" || job.kind === "pacs-sync") return <Pulled report={job.result as PullReport} />;
  if (job.kind === "pacs-fetch") return <a href={href("cases", text("study_instance_uid"))}>Open the case</a>;
  if (job.kind === "pacs-send") return <Delivered deliveries={(result.deliveries ?? []) as Delivery[]} />;
  if (job.kind === "pacs-release") return <Released report={result as unknown as ReleaseReport} />;
  if (job.kind === "map") return <a href={href("map")}>Open the map</a>;
  if (job.kind === "evaluation") {
    return (
      <a href={`${ROOT}/v1/evaluations/${job.id}/page`} target="_blank" rel="noreferrer">
        Open the figures
      </a>
    );
  }
  return null;
}
