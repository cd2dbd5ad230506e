// All jobs, the newest first, by status and kind: followed, cancelled, started again.
import { useEffect, useState } from "preact/hooks";
import { moment, plural } from "../../format";
import { get, Problem, useLoad } from "../../http";
import { announce } from "../../parts/announce";
import { AsData } from "../../parts/as_data";
import { Progress } from "../../parts/progress";
import { Empty, Failed, ListState } from "../../parts/states";
import { Table } from "../../parts/table";
import { href, queryOf, setQuery } from "../../router";
import { may, useKnown } from "../../session";
import { Actions, JobView, title } from "./job_view";
import { duration, isActive, type Job } from "./jobs";

const PAGE = 50;
const BUSY_MS = 3000;
const STATUSES = ["queued", "running", "done", "failed", "cancelled"];
const KINDS = ["ingest", "report", "probe", "predictions", "calibration", "evaluation", "map", "reembed", "pacs-pull", "pacs-sync", "pacs-fetch", "pacs-release", "pacs-send"];

interface Answer {
  jobs: Job[];
  cursor: string | null;
}

export function JobList({ query }: { query: URLSearchParams }) {
  const { session } = useKnown();
  const status = query.get("status") ?? "";
  const kind = query.get("kind") ?? "";
  const key = queryOf({ status, kind }).toString();
  const found = useLoad(`jobs ${key}`, (signal) => get<Answer>("/v1/jobs", { status, kind, limit: PAGE }, signal));
  const open = query.get("job");
  return (
    <>
      <div class="row spread">
        <div class="row filters">
          <Choice name="status" label="Status" value={status} options={STATUSES} />
          <Choice name="kind" label="Kind" value={kind} options={KINDS} />
          <span class="quiet">{may(session, "admin") ? "Jobs of all keys" : "Jobs that your key started"}</span>
        </div>
        <AsData json={`/v1/jobs${key ? `?${key}` : ""}`} />
      </div>
      {open && <JobView key={open} id={open} />}
      <ListState of={found}>{(answer) => (answer.jobs.length ? <Jobs key={key} first={answer} asked={{ status, kind }} followed={open} /> : <Nothing filtered={Boolean(key)} />)}</ListState>
    </>
  );
}

function Choice({ name, label, value, options }: { name: string; label: string; value: string; options: readonly string[] }) {
  return (
    <label>
      {label}{" "}
      <select value={value} onChange={(event) => setQuery({ [name]: event.currentTarget.value || null })}>
        <option value="">any</option>
        {options.map((one) => (
          <option key={one} value={one}>
            {one}
          </option>
        ))}
      </select>
    </label>
  );
}

function Nothing({ filtered }: { filtered: boolean }) {
  if (!filtered) {
    return (
      <Empty title="No job was started yet">
        <p>Ingests, drafts, probes, calibrations and maps run as jobs.</p>
      </Empty>
    );
  }
  return (
    <Empty title="No job passes these filters">
      <button type="button" onClick={() => setQuery({ status: null, kind: null })}>
        Drop all filters
      </button>
    </Empty>
  );
}

function Jobs({ first, asked, followed }: { first: Answer; asked: { status: string; kind: string }; followed: string | null }) {
  const [newest, renew] = useState(first.jobs);
  const [more, add] = useState<Job[]>([]);
  const [cursor, goOn] = useState(first.cursor);
  const [problem, fail] = useState<Problem | null>(null);
  // What goes on is asked for again without a word: only its numbers change.
  const ask = (signal?: AbortSignal) =>
    get<Answer>("/v1/jobs", { ...asked, limit: PAGE }, signal).then(
      (answer) => renew(answer.jobs),
      () => undefined, // asked again in a moment
    );
  useEffect(() => {
    if (followed !== null && !newest.some((one) => one.id === followed)) void ask(); // it was just started
  }, [followed]);
  useEffect(() => {
    if (!newest.some(isActive)) return;
    const stop = new AbortController();
    const timer = setInterval(() => document.hidden || void ask(stop.signal), BUSY_MS);
    return () => {
      stop.abort();
      clearInterval(timer);
    };
  }, [newest]);
  const jobs = [...newest, ...more.filter((one) => !newest.some((other) => other.id === one.id))];
  const further = () =>
    get<Answer>("/v1/jobs", { ...asked, limit: PAGE, cursor }).then(
      (answer) => {
        fail(null);
        add((before) => [...before, ...answer.jobs]);
        goOn(answer.cursor);
        announce(`${plural(answer.jobs.length, "more job")}`);
      },
      (error: unknown) => error instanceof Problem && fail(error),
    );
  return (
    <>
      <Table
        caption="Jobs"
        rows={jobs}
        rowKey={(job) => job.id}
        columns={[
          { name: "kind", title: "Job", show: (job) => <a href={href("ingest", "", { tab: "jobs", ...asked, job: job.id })}>{title(job)}</a> },
          { name: "status", title: "Status", show: (job) => <span class={`status status-${job.status}`}>{job.status}</span> },
          {
            name: "progress",
            title: "How far, or why not",
            show: (job) => (isActive(job) ? <Progress job={job} /> : job.error ? job.error.message : "–"),
          },
          { name: "created_at", title: "Asked", show: (job) => moment(job.created_at) },
          { name: "took", title: "Ran", number: true, show: (job) => duration(job) },
          { name: "act", title: "Actions", show: (job) => <Actions job={job} changed={() => void ask()} /> },
        ]}
      />
      {cursor && !problem && (
        <p>
          <button type="button" onClick={further}>
            Show more
          </button>
        </p>
      )}
      {problem && <Failed problem={problem} retry={further} />}
    </>
  );
}
