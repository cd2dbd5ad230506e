// A folder that the service can read, or files that are sent: tried first, then ingested, followed as it goes.
import { useEffect, useRef, useState } from "preact/hooks";
import { plural } from "../../format";
import { post, Problem } from "../../http";
import { announce } from "../../parts/announce";
import { Icon } from "../../parts/icon";
import { Empty, Failed } from "../../parts/states";
import { setQuery } from "../../router";
import { may, useKnown } from "../../session";
import { jobStarted } from "../../shell/job_bell";
import { Folders } from "./folders";
import { JobView } from "./job_view";
import { isActive, type IngestReport, type Job } from "./jobs";
import { bytesOf, chosenOf, droppedOf, MOST_FILES, send, size, type Chosen } from "./sending";

// What is to be ingested, while another page is looked at: paths and file names often name patients, so that they
// stand in no address.
let last: { source: Source; job: string } | null = null;

type Source = { kind: "path"; path: string; metadata: string } | { kind: "files"; files: readonly Chosen[]; metadata: File | null };

export function NewIngest({ query }: { query: URLSearchParams }) {
  const { session } = useKnown();
  const followed = query.get("job");
  const [source, take] = useState<Source | null>(followed && last?.job === followed ? last.source : null);
  const [sent, tell] = useState<{ sent: number; total: number } | null>(null);
  const [problem, fail] = useState<Problem | null>(null);
  const stop = useRef<AbortController | null>(null);
  useEffect(() => () => stop.current?.abort(), []);
  if (!may(session, "write")) {
    return (
      <Empty title="Your key may not ingest">
        <p>Ask an administrator for a key with the scope write.</p>
      </Empty>
    );
  }
  const start = async (from: Source, dryRun: boolean) => {
    fail(null);
    const own = (stop.current = new AbortController());
    try {
      const job = await started(from, dryRun, (done, total) => tell({ sent: done, total }), own.signal);
      last = { source: from, job: job.id };
      announce(dryRun ? "The dry run has started" : "The ingest has started");
      jobStarted();
      setQuery({ job: job.id });
    } catch (error) {
      if (error instanceof Problem) fail(error);
    } finally {
      tell(null);
    }
  };
  const choose = (next: Source | null) => {
    take(next);
    fail(null);
    setQuery({ job: null });
  };
  return (
    <div
      class="ingest"
      onDragOver={(event) => {
        if (!event.dataTransfer?.types.includes("Files")) return;
        event.preventDefault();
        event.stopPropagation(); // the screen searches with what is dropped elsewhere
      }}
      onDrop={(event) => {
        if (!event.dataTransfer?.types.includes("Files")) return;
        event.preventDefault();
        event.stopPropagation();
        void droppedOf(event.dataTransfer).then((files) => files.length && choose({ kind: "files", files, metadata: null }));
      }}
    >
      {!source && !followed && <Sources choose={choose} />}
      {source && <Chosen source={source} change={take} drop={() => choose(null)} busy={sent !== null} start={(dryRun) => void start(source, dryRun)} tried={followed !== null} />}
      {sent && <Upload {...sent} stop={() => stop.current?.abort()} />}
      {problem && <Failed problem={problem} />}
      {followed && (
        <JobView key={followed} id={followed}>
          {(job) => <Next job={job} source={source} busy={sent !== null} ingest={() => source && void start(source, false)} other={() => choose(null)} />}
        </JobView>
      )}
    </div>
  );
}

function started(from: Source, dryRun: boolean, progress: (sent: number, total: number) => void, signal: AbortSignal): Promise<Job> {
  if (from.kind === "files") return send({ files: from.files, metadata: from.metadata, dryRun, progress, signal });
  const metadata = from.metadata.trim();
  return post<Job>("/v1/ingest", { path: from.path, dry_run: dryRun, ...(metadata ? { metadata } : {}) }, signal);
}

/** Where files come from. */
function Sources({ choose }: { choose: (source: Source) => void }) {
  return (
    <div class="columns">
      <section class="card">
        <h2>Files of this computer</h2>
        <div class="drop">
          <Icon name="ingest" />
          <p>Drop DICOM files, pictures, zip or tar archives, or whole folders here.</p>
          <div class="row">
            <Pick title="Choose files…" pick={(files) => choose({ kind: "files", files, metadata: null })} />
            <Pick title="Choose a folder…" folder pick={(files) => choose({ kind: "files", files, metadata: null })} />
          </div>
        </div>
        <p class="quiet">They are sent to the service, which keeps of their headers what the archive's privacy setting says.</p>
      </section>
      <section class="card">
        <h2>A folder of the service</h2>
        <Folders choose={(path) => choose({ kind: "path", path, metadata: "" })} />
      </section>
    </div>
  );
}

function Pick({ title, folder, pick }: { title: string; folder?: boolean; pick: (files: Chosen[]) => void }) {
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => {
    if (folder) field.current?.setAttribute("webkitdirectory", "");
  }, []);
  return (
    <label class="button">
      {title}
      <input
        ref={field}
        class="unseen"
        type="file"
        multiple
        onChange={(event) => {
          const files = chosenOf(event.currentTarget.files);
          event.currentTarget.value = "";
          if (files.length) pick(files);
        }}
      />
    </label>
  );
}

interface ChosenProps {
  source: Source;
  change: (source: Source) => void;
  drop: () => void;
  busy: boolean;
  tried: boolean;
  start: (dryRun: boolean) => void;
}

function Chosen({ source, change, drop, busy, tried, start }: ChosenProps) {
  const many = source.kind === "files" ? source.files.length : 0;
  return (
    <section class="card" aria-label="What is to be ingested">
      <div class="row spread">
        <h2>{source.kind === "files" ? `${plural(many, "file")}, ${size(bytesOf(source.files))}` : <code>{source.path}</code>}</h2>
        <button type="button" disabled={busy} onClick={drop}>
          Choose others
        </button>
      </div>
      {many >= MOST_FILES && <p class="must">Only the first {plural(MOST_FILES, "file")} are taken: send the folder in parts, or ingest it by the command line.</p>}
      {source.kind === "files" && many <= 12 && (
        <ul class="plain paths">
          {source.files.map((one) => (
            <li key={one.path}>
              <code>{one.path}</code> <span class="quiet">{size(one.file.size)}</span>
            </li>
          ))}
        </ul>
      )}
      {!tried && (
        <>
          <Metadata source={source} change={change} />
          <div class="row">
            <button type="button" class="primary" disabled={busy} onClick={() => start(true)}>
              Try first
            </button>
            <button type="button" disabled={busy} onClick={() => start(false)}>
              Ingest at once
            </button>
            <span class="quiet">A dry run reads headers, tells what would go in and what would not, and stores nothing.</span>
          </div>
        </>
      )}
    </section>
  );
}

function Metadata({ source, change }: { source: Source; change: (source: Source) => void }) {
  return (
    <details>
      <summary>Plain pictures with a CSV that describes them</summary>
      <p class="quiet">It gives PNG and JPEG pictures what headers give DICOM: columns path, patient_id, modality, label and more.</p>
      {source.kind === "files" ? (
        <label>
          CSV{" "}
          <input type="file" accept=".csv,text/csv" onChange={(event) => change({ ...source, metadata: event.currentTarget.files?.[0] ?? null })} />
        </label>
      ) : (
        <label>
          Path of the CSV, below an allowed folder{" "}
          <input type="text" size={40} value={source.metadata} onInput={(event) => change({ ...source, metadata: event.currentTarget.value })} />
        </label>
      )}
    </details>
  );
}

function Upload({ sent, total, stop }: { sent: number; total: number; stop: () => void }) {
  const words = `${size(sent)} of ${size(total)} sent`;
  return (
    <section class="card row" aria-label="Upload">
      <progress value={sent} max={total || 1} aria-label={words} />
      <span>{sent < total ? words : "All is sent; the service takes it in."}</span>
      <button type="button" onClick={stop}>
        Stop
      </button>
    </section>
  );
}

const ingestWords = (files: number): string => (files > 1 ? `Ingest these ${plural(files, "file")}` : files ? "Ingest this file" : "Nothing new to ingest");

/** What comes after a job: the ingest after its dry run, or other files. */
function Next({ job, source, busy, ingest, other }: { job: Job; source: Source | null; busy: boolean; ingest: () => void; other: () => void }) {
  const report = job.status === "done" ? (job.result as IngestReport | null) : null;
  if (isActive(job)) return null;
  return (
    <div class="row">
      {report?.dry_run && source && (
        <button type="button" class="primary" disabled={busy || report.files_embedded === 0} onClick={ingest}>
          {ingestWords(report.files_embedded)}
        </button>
      )}
      {report?.dry_run && !source && <span class="quiet">Choose the files again to ingest them: the dry run kept none.</span>}
      <button type="button" onClick={other}>
        Ingest other files
      </button>
    </div>
  );
}
