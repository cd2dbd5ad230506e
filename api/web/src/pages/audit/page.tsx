// Audit: who did what, who may do what, and how the service does; for administrators.
import type { PageProps } from "../../shell/pages";
import { Empty } from "../../parts/states";
import { Tabs } from "../../parts/tabs";
import { setQuery } from "../../router";
import { may, useKnown } from "../../session";
import { Health } from "./health";
import { Keys } from "./keys";
import { Trail } from "./trail";

const TABS = [
  ["trail", "Audit trail"],
  ["keys", "Keys"],
  ["health", "Health"],
] as const;

// What belongs to one tab is left behind with it.
const OTHERS = { study: null, actor: null, action: null, before: null };

export default function Page({ place }: PageProps) {
  const { session } = useKnown();
  if (!may(session, "admin"))
    return (
      <Empty title="This page is for administrators" level="h1">
        <p>
          The key <strong>{session.name}</strong> has the scopes {session.scopes.join(", ")}; this page needs <code>admin</code>.
          Sign in with another key, or ask for one.
        </p>
      </Empty>
    );
  const named = place.query.get("tab");
  const tab = TABS.find(([name]) => name === named)?.[0] ?? "trail";
  const open = (name: string) => setQuery({ ...OTHERS, tab: name === "trail" ? null : name });
  return (
    <>
      <h1>Audit</h1>
      <Tabs of="Audit" tabs={TABS} shown={tab} open={open}>
        {tab === "trail" && <Trail query={place.query} />}
        {tab === "keys" && <Keys />}
        {tab === "health" && <Health />}
      </Tabs>
    </>
  );
}
