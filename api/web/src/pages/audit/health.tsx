// How the service does: its parts as they were just tried, its machine, its jobs and its settings.
import type { ComponentChildren } from "preact";
import { count, moment, plural } from "../../format";
import { get, useLoad } from "../../http";
import { AsData } from "../../parts/as_data";
import { Icon } from "../../parts/icon";
import { ListState } from "../../parts/states";
import { Table } from "../../parts/table";

interface Found {
  ready: boolean;
  checks: { name: string; ok: boolean; detail: string; required: boolean }[];
  version: string;
  started_at: string;
  home: string;
  database: string;
  database_seconds: number;
  disk_free_bytes: number;
  min_free_bytes: number;
  encoder: { state: string; restarts: number; waiting: number; waiting_limit: number; refused: number } | null;
  workers: { worker: string; host: string; state: string; job: string | null; beat_seconds_ago: number; ok: boolean }[];
  jobs: { kind: string; status: string; count: number }[];
  oldest_job_seconds: Record<string, number>;
  index: { studies: number; series: number; images: number; vectors: number; search?: { kind: string; why: string } | null };
  outdated: number;
  audit_events: number;
  settings: { name: string; value: unknown; description: string }[];
}

export function Health() {
  const found = useLoad("/v1/health", (signal) => get<Found>("/v1/health", {}, signal));
  return (
    <>
      <p class="row">
        <button type="button" onClick={found.retry}>
          Try everything again
        </button>
        <AsData json="/v1/health" command="medsiglip doctor" />
      </p>
      <ListState of={found}>{(health) => <Shown health={health} />}</ListState>
    </>
  );
}

function Shown({ health }: { health: Found }) {
  return (
    <>
      <p class={health.ready ? "health-good" : "state-error"} role="status">
        <Icon name={health.ready ? "check" : "warning"} /> {health.ready ? "Every required part works." : "A required part fails."}
      </p>
      <Table
        caption="Parts of the service"
        rows={health.checks}
        rowKey={(one) => one.name}
        columns={[
          { name: "name", title: "Part", show: (one) => one.name },
          { name: "ok", title: "State", show: (one) => <Verdict ok={one.ok} required={one.required} /> },
          { name: "detail", title: "What was found", show: (one) => one.detail },
        ]}
      />
      <div class="columns health-cards">
        <Card title="Archive">
          <Line name="studies">{count(health.index.studies)}</Line>
          <Line name="images">{count(health.index.images)}</Line>
          <Line name="vectors that are searched">{count(health.index.vectors)}</Line>
          {health.index.search && <Line name="search">{health.index.search.kind}</Line>}
          <Line name="images drawn by an earlier version">{count(health.outdated)}</Line>
          <Line name="events of the audit trail">{count(health.audit_events)}</Line>
        </Card>
        <Card title="Machine">
          <Line name="version">{health.version}</Line>
          <Line name="runs since">{moment(health.started_at)}</Line>
          <Line name="home">
            <code>{health.home}</code>
          </Line>
          <Line name="free disk">
            {gibibytes(health.disk_free_bytes)}, needed {gibibytes(health.min_free_bytes)}
          </Line>
          <Line name="database">
            {health.database}, answers in {(health.database_seconds * 1000).toFixed(1)} ms
          </Line>
        </Card>
        <Card title="Model and jobs">
          {health.encoder && (
            <>
              <Line name="model">
                {health.encoder.state}, {plural(health.encoder.restarts, "restart")}
              </Line>
              <Line name="waiting for the model">
                {count(health.encoder.waiting)} of at most {count(health.encoder.waiting_limit)}
              </Line>
            </>
          )}
          {health.workers.map((one) => (
            <Line key={one.worker} name={`worker on ${one.host}`}>
              <Icon name={one.ok ? "check" : "warning"} /> {one.ok ? one.state : `late: last seen ${Math.round(one.beat_seconds_ago)} s ago`}
            </Line>
          ))}
          {!health.workers.length && <Line name="workers">none has a heartbeat</Line>}
          {health.jobs.map((one) => (
            <Line key={`${one.kind} ${one.status}`} name={`${one.kind} ${one.status}`}>
              {count(one.count)}
            </Line>
          ))}
        </Card>
      </div>
      <details>
        <summary>Settings</summary>
        <Table
          caption="Settings"
          rows={health.settings}
          rowKey={(one) => one.name}
          columns={[
            { name: "name", title: "Setting", show: (one) => <code>{one.name}</code> },
            { name: "value", title: "Value", show: (one) => <code>{one.value === null ? "" : String(one.value)}</code> },
            { name: "description", title: "Meaning", show: (one) => one.description },
          ]}
        />
      </details>
    </>
  );
}

function Verdict({ ok, required }: { ok: boolean; required: boolean }) {
  return (
    <>
      <Icon name={ok ? "check" : "warning"} /> {ok ? "works" : required ? "fails" : "fails, not required"}
    </>
  );
}

function Card({ title, children }: { title: string; children: ComponentChildren }) {
  return (
    <section class="card">
      <h2>{title}</h2>
      <dl class="lines">{children}</dl>
    </section>
  );
}

function Line({ name, children }: { name: string; children: ComponentChildren }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

const gibibytes = (bytes: number): string => `${(bytes / 2 ** 30).toFixed(1)} GiB`;
