// The audit trail, the newest events first, with the study, the key and the action that are asked for.
import { useState } from "preact/hooks";
import { moment, plural, shortUid } from "../../format";
import { get, useLoad } from "../../http";
import { AsData, quoted } from "../../parts/as_data";
import { Copy } from "../../parts/copy";
import { Empty, ListState } from "../../parts/states";
import { Table } from "../../parts/table";
import { href, queryOf, ROOT, setQuery } from "../../router";

interface Entry {
  sequence: number;
  at: string;
  actor: string;
  name: string | null;
  action: string;
  studies: string[];
  details: Record<string, unknown>;
  request_id: string | null;
}

interface AuditPage {
  events: Entry[];
  before: number | null;
}

const SHOWN_STUDIES = 3;

export function Trail({ query }: { query: URLSearchParams }) {
  const asked = {
    study: query.get("study"),
    actor: query.get("actor"),
    action: query.get("action"),
    before: query.get("before"),
    limit: 50,
  };
  const path = `/v1/audit/events?${queryOf(asked)}`;
  const found = useLoad(path, (signal) => get<AuditPage>("/v1/audit/events", asked, signal));
  const study = asked.study ? ` --study ${quoted(asked.study)}` : "";
  return (
    <>
      <Filters key={path} asked={asked} />
      <ListState of={found}>
        {(page) =>
          page.events.length ? (
            <>
              <Table
                caption="Events of the audit trail"
                rows={page.events}
                rowKey={(one) => one.sequence}
                columns={[
                  { name: "sequence", title: "No.", number: true, show: (one) => one.sequence },
                  { name: "at", title: "When", show: (one) => moment(one.at) },
                  { name: "actor", title: "Who", show: (one) => <Actor one={one} /> },
                  { name: "action", title: "What", show: (one) => one.action },
                  { name: "studies", title: "Studies", show: (one) => <Studies uids={one.studies} /> },
                  { name: "details", title: "Details", show: (one) => <Details one={one} /> },
                ]}
              />
              <p class="row">
                {asked.before && (
                  <button type="button" onClick={() => setQuery({ before: null })}>
                    Newest
                  </button>
                )}
                <button type="button" disabled={page.before === null} onClick={() => setQuery({ before: page.before })}>
                  Older
                </button>
                <a href={`${ROOT}/v1/audit`} download="audit.jsonl">
                  Whole trail as JSON lines
                </a>
                <AsData json={path} command={`medsiglip audit list --last 50${study}`} />
              </p>
              <p class="quiet">
                <code>medsiglip audit verify</code> computes the chain of hashes anew and finds what was changed.
              </p>
            </>
          ) : (
            <Empty title="No event is like this">
              <button type="button" onClick={() => setQuery({ study: null, actor: null, action: null, before: null })}>
                Show all events
              </button>
            </Empty>
          )
        }
      </ListState>
    </>
  );
}

function Filters({ asked }: { asked: { study: string | null; actor: string | null; action: string | null } }) {
  const [study, setStudy] = useState(asked.study ?? "");
  const [actor, setActor] = useState(asked.actor ?? "");
  const [action, setAction] = useState(asked.action ?? "");
  const submit = (event: Event) => {
    event.preventDefault();
    setQuery({ study: study.trim(), actor: actor.trim(), action: action.trim(), before: null });
  };
  return (
    <form class="row audit-filters" onSubmit={submit}>
      <label>
        Study <input value={study} onInput={(event) => setStudy(event.currentTarget.value)} placeholder="StudyInstanceUID" />
      </label>
      <label>
        Who <input value={actor} onInput={(event) => setActor(event.currentTarget.value)} placeholder="id of a key" />
      </label>
      <label>
        What <input value={action} onInput={(event) => setAction(event.currentTarget.value)} placeholder="view, export, …" />
      </label>
      <button type="submit">Show</button>
    </form>
  );
}

function Actor({ one }: { one: Entry }) {
  return (
    <button type="button" class="bare" title="Only events of this key" onClick={() => setQuery({ actor: one.actor, before: null })}>
      {one.name ? (
        <span>
          {one.name} <code class="quiet">{one.actor}</code>
        </span>
      ) : (
        <code>{one.actor}</code>
      )}
    </button>
  );
}

function Studies({ uids }: { uids: string[] }) {
  return (
    <>
      {uids.slice(0, SHOWN_STUDIES).map((uid) => (
        <div key={uid} class="audit-study">
          <a href={href("cases", uid)} title={uid}>
            {shortUid(uid)}
          </a>
          <Copy text={uid} what="the UID" />
        </div>
      ))}
      {uids.length > SHOWN_STUDIES && (
        <details>
          <summary>and {plural(uids.length - SHOWN_STUDIES, "more study", "more studies")}</summary>
          <ul class="plain audit-more">
            {uids.slice(SHOWN_STUDIES).map((uid) => (
              <li key={uid}>
                <a href={href("cases", uid)}>{uid}</a>
              </li>
            ))}
          </ul>
        </details>
      )}
    </>
  );
}

function Details({ one }: { one: Entry }) {
  const told = Object.entries(one.details).map(([name, value]) => `${name} ${typeof value === "string" ? value : JSON.stringify(value)}`);
  return (
    <>
      {told.length > 0 && <div>{told.join(", ")}</div>}
      {one.request_id && (
        <span class="quiet">
          request <code>{one.request_id.slice(0, 8)}</code> <Copy text={one.request_id} what="the request's id" />
        </span>
      )}
    </>
  );
}
