// The exchange with PACS: connections and their state, what a PACS holds, what was asked for, what was sent.
import { useEffect, useState } from "preact/hooks";
import { get, useLoad, type Loaded } from "../../http";
import { onQuestion, takeQuestion, type PacsQuestion } from "../../pacs_question";
import { setQuery } from "../../router";
import { may, useKnown } from "../../session";
import { AsData } from "../../parts/as_data";
import { Empty, ListState } from "../../parts/states";
import { Tabs } from "../../parts/tabs";
import { forgetConnections } from "../../parts/look_in_pacs";
import type { PageProps } from "../../shell/pages";
import { Connections } from "./connections";
import { Deliveries } from "./deliveries";
import { Find } from "./find";
import { Ledger } from "./ledger";
import type { PacsList } from "./pacs";

const BUSY_MS = 5000;
const TABS = [
  ["connections", "Connections"],
  ["find", "Find and bring in"],
  ["studies", "Studies"],
  ["documents", "Documents sent"],
] as const;
type Tab = (typeof TABS)[number][0];

export default function Page({ place }: PageProps) {
  const { session } = useKnown();
  const found = useConnections();
  const [handed, take] = useState<PacsQuestion | null>(takeQuestion);
  useEffect(
    () =>
      onQuestion(() => {
        take(takeQuestion());
      }),
    [],
  );
  const tabs = may(session, "write") ? TABS : TABS.filter(([name]) => name !== "find");
  const tab = tabOf(place.query, tabs);
  return (
    <>
      <div class="row spread">
        <h1>PACS</h1>
        {(tab === "connections" || tab === "find") && <AsData json="/v1/pacs" command="medsiglip pacs list" />}
      </div>
      <Tabs of="PACS" tabs={tabs} shown={tab} open={(name) => setQuery({ tab: name, status: null, job: null })}>
        <ListState of={found}>
          {(list) => {
            if (tab === "connections") return <Connections list={list} reload={found.retry} />;
            const chosen = place.query.get("connection") ?? list.connections[0]?.name ?? null;
            if (chosen === null) return <NoConnection />;
            if (!list.connections.some((one) => one.name === chosen)) return <Unknown name={chosen} />;
            return (
              <>
                <Choice list={list} chosen={chosen} />
                {tab === "find" && <Find key={chosen} connection={chosen} job={place.query.get("job")} handed={handed} />}
                {tab === "studies" && <Ledger key={chosen} connection={chosen} query={place.query} />}
                {tab === "documents" && <Deliveries key={chosen} connection={chosen} />}
              </>
            );
          }}
        </ListState>
      </Tabs>
    </>
  );
}

function tabOf(query: URLSearchParams, tabs: readonly (readonly [Tab, string])[]): Tab {
  const asked = query.get("tab") ?? (query.has("status") ? "studies" : "connections");
  return tabs.find(([name]) => name === asked)?.[0] ?? "connections";
}

/** The connections, asked for again without a word while something goes on. */
function useConnections(): Loaded<PacsList> {
  const found = useLoad("pacs", (signal) => get<PacsList>("/v1/pacs", {}, signal));
  const [later, renew] = useState<PacsList | null>(null);
  useEffect(() => renew(null), [found.value]);
  const now = later ?? found.value;
  const busy = found.state === "ready" && (now?.receiver?.running || now?.connections.some((one) => one.syncing || one.studies.waiting > 0));
  useEffect(() => {
    if (!busy) return;
    const stop = new AbortController();
    const timer = setInterval(() => {
      if (!document.hidden) get<PacsList>("/v1/pacs", {}, stop.signal).then(renew, () => undefined); // asked again in a moment
    }, BUSY_MS);
    return () => {
      stop.abort();
      clearInterval(timer);
    };
  }, [busy]);
  if (found.state !== "ready") return found;
  const retry = () => {
    forgetConnections();
    found.retry();
  };
  return { ...found, value: later ?? found.value, retry };
}

function Choice({ list, chosen }: { list: PacsList; chosen: string }) {
  if (list.connections.length < 2) return <p class="quiet">Connection {chosen}</p>;
  return (
    <p class="row">
      <label>
        PACS{" "}
        <select value={chosen} onChange={(event) => setQuery({ connection: event.currentTarget.value, job: null })}>
          {list.connections.map((one) => (
            <option key={one.name} value={one.name}>
              {one.name}
            </option>
          ))}
        </select>
      </label>
    </p>
  );
}

function NoConnection() {
  return (
    <Empty title="No PACS is connected">
      <p>An administrator adds one under Connections.</p>
      <button type="button" onClick={() => setQuery({ tab: null })}>
        Connections
      </button>
    </Empty>
  );
}

function Unknown({ name }: { name: string }) {
  return (
    <Empty title={`There is no connection ${name}`}>
      <p>It may have been removed.</p>
      <button type="button" onClick={() => setQuery({ connection: null })}>
        Show another
      </button>
    </Empty>
  );
}
