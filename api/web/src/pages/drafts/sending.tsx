// An accepted draft is sent to a PACS, and what became of that.
import { useEffect, useState } from "preact/hooks";
import { moment } from "../../format";
import { get, post, Problem, useLoad } from "../../http";
import { announce } from "../../parts/announce";
import { Failed, ListState } from "../../parts/states";
import { Table } from "../../parts/table";
import { href } from "../../router";
import { may, useKnown } from "../../session";
import { jobStarted } from "../../shell/job_bell";
import type { Job } from "../../types";
import { isActive, useJob } from "../ingest/jobs";
import { DELIVERED, FORMATS, type Delivery, type PacsList } from "../pacs/pacs";
import { Sign, Why } from "../pacs/sign";
import type { Report } from "./report";

interface Known {
  connections: string[];
  deliveries: Delivery[];
}

export function SendToPacs({ report }: { report: Report }) {
  const { session } = useKnown();
  const path = `/v1/reports/${report.id}`;
  const found = useLoad<Known>(`deliveries ${report.id}`, async (signal) => {
    const [list, sent] = await Promise.all([
      get<PacsList>("/v1/pacs", {}, signal),
      get<{ deliveries: Delivery[] }>(`${path}/deliveries`, {}, signal),
    ]);
    return { connections: list.connections.map((one) => one.name), deliveries: sent.deliveries };
  });
  const nothing = found.state === "ready" && !found.value.connections.length && !found.value.deliveries.length;
  if (nothing) return null; // there is no PACS
  return (
    <section aria-label="Send to PACS">
      <h2>Send to PACS</h2>
      <ListState of={found}>
        {({ connections, deliveries }) => (
          <>
            {deliveries.length > 0 && <Sent deliveries={deliveries} />}
            {!deliveries.length && <p class="quiet">It was not sent to a PACS.</p>}
            {may(session, "write") ? (
              connections.length > 0 && <Send path={path} connections={connections} changed={found.retry} />
            ) : (
              <p class="quiet">Sending it needs a key with the scope write.</p>
            )}
          </>
        )}
      </ListState>
    </section>
  );
}

function Sent({ deliveries }: { deliveries: readonly Delivery[] }) {
  return (
    <Table
      caption="Documents of this draft that were sent"
      rows={deliveries}
      rowKey={(one) => one.id}
      columns={[
        { name: "status", title: "Status", show: (one) => <Sign of={DELIVERED[one.status]} /> },
        { name: "to", title: "To", show: (one) => <a href={href("pacs", "", { tab: "documents", connection: one.to })}>{one.to}</a> },
        { name: "format", title: "As", show: (one) => FORMATS[one.format] ?? one.format },
        { name: "sent", title: "Sent", show: (one) => moment(one.sent_at) },
        { name: "why", title: "Why", show: (one) => (one.failure ? <Why failure={one.failure} /> : "–") },
      ]}
    />
  );
}

function Send({ path, connections, changed }: { path: string; connections: readonly string[]; changed: () => void }) {
  const [to, choose] = useState(connections[0]!);
  const [formats, take] = useState<Delivery["format"][]>(["sr", "pdf"]);
  const [asked, ask] = useState<string | null>(null);
  const [problem, tell] = useState<Problem | null>(null);
  const [busy, wait] = useState(false);
  const { job, problem: lost, again } = useJob(asked);
  const status = job?.status;
  useEffect(() => {
    if (!job || isActive(job)) return;
    announce(status === "done" ? "The documents were sent" : `The sending is ${status}`);
    changed();
  }, [status]);
  const send = (event: Event) => {
    event.preventDefault();
    wait(true);
    tell(null);
    post<Job>(`${path}/send`, { to, formats })
      .then(
        (started) => {
          announce("The documents are on their way");
          jobStarted();
          ask(started.id);
        },
        (error: unknown) => error instanceof Problem && tell(error),
      )
      .finally(() => wait(false));
  };
  const turn = (format: Delivery["format"], on: boolean) => take((before) => [...before.filter((one) => one !== format), ...(on ? [format] : [])]);
  const going = asked !== null && (job === null ? lost === null : isActive(job));
  return (
    <form class="row" onSubmit={send} aria-label="Send to PACS">
      <label>
        To{" "}
        <select value={to} onChange={(event) => choose(event.currentTarget.value)}>
          {connections.map((one) => (
            <option key={one} value={one}>
              {one}
            </option>
          ))}
        </select>
      </label>
      {(["sr", "pdf"] as const).map((format) => (
        <label key={format}>
          <input type="checkbox" checked={formats.includes(format)} onChange={(event) => turn(format, event.currentTarget.checked)} /> {FORMATS[format]}
        </label>
      ))}
      <button type="submit" disabled={busy || going || !formats.length}>
        Send to PACS
      </button>
      {going && (
        <span class="quiet" role="status">
          On its way …
        </span>
      )}
      {job?.error && (
        <p class="must" role="alert">
          {job.error.message} (<code>{job.error.code}</code>)
        </p>
      )}
      {lost && <Failed problem={lost} retry={again} />}
      {problem && <Failed problem={problem} />}
    </form>
  );
}
