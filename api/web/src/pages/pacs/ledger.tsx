// The studies of a connection that were asked for: by status, with reasons, and those that failed asked for again.
import { useState } from "preact/hooks";
import { count, moment, plural, shortUid } from "../../format";
import { post, Problem } from "../../http";
import { announce } from "../../parts/announce";
import { AsData, quoted } from "../../parts/as_data";
import { Copy } from "../../parts/copy";
import { Empty, Failed, ListState } from "../../parts/states";
import { Table, type Column } from "../../parts/table";
import { href, queryOf, setQuery } from "../../router";
import { may, useKnown } from "../../session";
import { jobStarted } from "../../shell/job_bell";
import type { Job } from "../../types";
import { Bringing } from "./bringing";
import { pathOf, STATUSES, type LedgerStatus, type LedgerStudy } from "./pacs";
import { usePages } from "./pages";
import { Sign, Why } from "./sign";

const PAGE = 100;

interface LedgerPage {
  studies: LedgerStudy[];
  cursor?: string | null;
}

export function Ledger({ connection, query }: { connection: string; query: URLSearchParams }) {
  const status = query.get("status") ?? "";
  const job = query.get("job");
  const path = pathOf(connection, "/studies");
  const list = usePages<LedgerPage>(path, { status, limit: PAGE });
  const words = queryOf({ status }).toString();
  const { session, info } = useKnown();
  // In a strict home others see UIDs of its own, by which no PACS knows a study.
  const mayAsk = may(session, "write") && (info?.phi !== "strict" || may(session, "admin"));
  const [problem, tell] = useState<Problem | null>(null);
  const [asking, wait] = useState(false);
  const ask = (uid: string) => {
    wait(true);
    tell(null);
    post<Job>(pathOf(connection, "/pull"), { study_instance_uids: [uid] })
      .then(
        (started) => {
          announce("The study is asked for again");
          jobStarted();
          setQuery({ tab: "studies", job: started.id });
        },
        (error: unknown) => error instanceof Problem && tell(error),
      )
      .finally(() => wait(false));
  };
  return (
    <div class="pacs">
      {job && <Bringing key={job} id={job} ended={list.found.retry} />}
      <div class="row spread">
        <label>
          Status{" "}
          <select value={status} onChange={(event) => setQuery({ tab: "studies", status: event.currentTarget.value || null })}>
            <option value="">any</option>
            {Object.entries(STATUSES).map(([name, [, word]]) => (
              <option key={name} value={name}>
                {word}
              </option>
            ))}
          </select>
        </label>
        <span class="row">
          <Retry connection={connection} done={list.found.retry} />
          <AsData json={`${path}${words ? `?${words}` : ""}`} command={`medsiglip pacs status ${quoted(connection)}${status ? ` --status ${quoted(status)}` : ""}`} />
        </span>
      </div>
      {problem && <Failed problem={problem} />}
      <ListState of={list.found}>
        {(first) => {
          const studies = (list.pages.length ? list.pages : [first]).flatMap((one) => one.studies);
          if (!studies.length) return <Nothing status={status} />;
          const columns = mayAsk ? [...COLUMNS, again(ask, asking)] : COLUMNS;
          return <Table caption={`Studies of ${connection}`} rows={studies} rowKey={(one) => one.study_instance_uid} columns={columns} />;
        }}
      </ListState>
      {list.more && !list.problem && (
        <p>
          <button type="button" disabled={list.busy} onClick={list.more}>
            Show more
          </button>
        </p>
      )}
      {list.problem && <Failed problem={list.problem} retry={list.more ?? undefined} />}
    </div>
  );
}

const COLUMNS: Column<LedgerStudy>[] = [
  { name: "status", title: "Status", show: (one) => <Sign of={STATUSES[one.status]} /> },
  { name: "uid", title: "Study", show: (one) => <Named one={one} /> },
  { name: "instances", title: "Instances", number: true, show: (one) => `${count(one.received)} of ${one.expected === null ? "?" : count(one.expected)}` },
  { name: "why", title: "Why", show: (one) => (one.failure ? <Why failure={one.failure} /> : "–") },
  { name: "attempts", title: "Tries", number: true, show: (one) => count(one.attempts) },
  { name: "next", title: "Due from", show: (one) => moment(one.not_before) },
  { name: "changed", title: "Changed", show: (one) => moment(one.changed_at) },
];

const OPEN: readonly LedgerStatus[] = ["waiting", "incomplete", "failed"];

const again = (ask: (uid: string) => void, asking: boolean): Column<LedgerStudy> => ({
  name: "again",
  title: "Ask again",
  show: (one) =>
    OPEN.includes(one.status) && (
      <button type="button" disabled={asking} onClick={() => ask(one.study_instance_uid)}>
        Bring in<span class="unseen"> {shortUid(one.study_instance_uid)}</span>
      </button>
    ),
});

const MAY_BE_HERE: readonly LedgerStatus[] = ["here", "incomplete"];

function Named({ one }: { one: LedgerStudy }) {
  const uid = one.study_instance_uid;
  if (one.status === "forgotten") return <span class="quiet">forgotten here: its UID is not kept</span>;
  const words = <code title={uid}>{shortUid(uid)}</code>;
  return (
    <span class="pacs-uid">
      {MAY_BE_HERE.includes(one.status) && one.received > 0 ? <a href={href("cases", uid)}>{words}</a> : words} <Copy text={uid} what="the StudyInstanceUID" />
    </span>
  );
}

function Nothing({ status }: { status: string }) {
  if (status) {
    return (
      <Empty title="No study has this status">
        <button type="button" onClick={() => setQuery({ tab: "studies", status: null })}>
          Show all
        </button>
      </Empty>
    );
  }
  return (
    <Empty title="Nothing was asked for yet">
      <p>Find studies and bring them in, or start a sync under Connections.</p>
    </Empty>
  );
}

/** Failed studies wait again, for the next sync. */
function Retry({ connection, done }: { connection: string; done: () => void }) {
  const { session } = useKnown();
  const [problem, tell] = useState<Problem | null>(null);
  const [busy, wait] = useState(false);
  const [said, say] = useState("");
  if (!may(session, "write")) return null;
  const ask = () => {
    wait(true);
    tell(null);
    post<{ waiting: number }>(pathOf(connection, "/retry"))
      .then(
        ({ waiting }) => {
          const words = waiting ? `${plural(waiting, "study waits", "studies wait")} for the next sync.` : "No study has failed or came in part.";
          say(words);
          announce(words);
          if (waiting) done();
        },
        (error: unknown) => error instanceof Problem && tell(error),
      )
      .finally(() => wait(false));
  };
  return (
    <>
      <button type="button" disabled={busy} onClick={ask}>
        Let the failed ones wait again
      </button>
      {said && <span class="quiet">{said}</span>}
      {problem && <Failed problem={problem} retry={ask} />}
    </>
  );
}
