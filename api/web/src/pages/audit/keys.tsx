// API keys: made, listed and ended. A key is shown once, when it is made.
import { useState } from "preact/hooks";
import { moment } from "../../format";
import { del, get, post, Problem, useLoad } from "../../http";
import { announce } from "../../parts/announce";
import { AsData } from "../../parts/as_data";
import { Copy } from "../../parts/copy";
import { Dialog } from "../../parts/dialog";
import { Icon } from "../../parts/icon";
import { Empty, ListState } from "../../parts/states";
import { Table } from "../../parts/table";
import { useKnown } from "../../session";

interface Key {
  id: string;
  name: string;
  scopes: string[];
  created_at: string;
  expires_at: string | null;
  revoked_at: string | null;
}

const SCOPES: Record<string, string> = {
  read: "look, search and classify",
  write: "ingest and label",
  train: "train probes, calibrate and evaluate",
  report: "draft and decide reports",
  admin: "everything, also to forget, and this page",
};

export function Keys() {
  const { session, refresh } = useKnown();
  const found = useLoad("/v1/keys", (signal) => get<{ keys: Key[] }>("/v1/keys", {}, signal));
  const [made, show] = useState<(Key & { key: string }) | null>(null);
  const [ending, end] = useState<Key | null>(null);
  const close = () => {
    show(null);
    if (session.open) refresh(); // from now on, nobody is answered without a key
    else found.retry();
  };
  return (
    <>
      {session.open && (
        <p class="card">
          <Icon name="warning" /> No key was ever made: everybody on this machine may do everything, and other machines get no
          answer. Make the first key with the scope admin; you are then asked to sign in with it.
        </p>
      )}
      <MakeKey admin={Boolean(session.open)} made={show} />
      <ListState of={found}>
        {({ keys }) =>
          keys.length ? (
            <Table
              caption="API keys"
              rows={[...keys].reverse()}
              rowKey={(one) => one.id}
              columns={[
                { name: "name", title: "Name", show: (one) => one.name },
                { name: "id", title: "Id", show: (one) => <code>{one.id}</code> },
                { name: "scopes", title: "Scopes", show: (one) => one.scopes.join(", ") },
                { name: "created", title: "Made", show: (one) => moment(one.created_at) },
                { name: "expires", title: "Expires", show: (one) => (one.expires_at ? moment(one.expires_at) : "never") },
                { name: "state", title: "State", show: (one) => <State one={one} /> },
                {
                  name: "end",
                  title: "End",
                  show: (one) =>
                    isLive(one) && (
                      <button type="button" onClick={() => end(one)} aria-label={`Revoke the key ${one.name}`}>
                        Revoke
                      </button>
                    ),
                },
              ]}
            />
          ) : (
            <Empty title="There is no key yet" />
          )
        }
      </ListState>
      <p class="row">
        <AsData json="/v1/keys" command="medsiglip keys list" />
      </p>
      {made && <MadeKey made={made} close={close} />}
      {ending && (
        <EndKey
          one={ending}
          isOwn={ending.id === session.key_id}
          close={() => end(null)}
          ended={() => {
            end(null);
            if (ending.id === session.key_id) refresh();
            else found.retry();
          }}
        />
      )}
    </>
  );
}

const isLive = (one: Key): boolean => !one.revoked_at && (!one.expires_at || new Date(one.expires_at).valueOf() > Date.now());

function State({ one }: { one: Key }) {
  if (one.revoked_at)
    return (
      <>
        <Icon name="cross" /> revoked {moment(one.revoked_at)}
      </>
    );
  return isLive(one) ? (
    <>
      <Icon name="check" /> valid
    </>
  ) : (
    <>
      <Icon name="cross" /> expired
    </>
  );
}

function MakeKey({ admin, made }: { admin: boolean; made: (key: Key & { key: string }) => void }) {
  const [name, setName] = useState("");
  const [scopes, setScopes] = useState<string[]>([admin ? "admin" : "read"]);
  const [days, setDays] = useState("");
  const [problem, show] = useState<Problem | null>(null);
  const [busy, setBusy] = useState(false);
  const submit = (event: Event) => {
    event.preventDefault();
    setBusy(true);
    show(null);
    post<Key & { key: string }>("/v1/keys", { name, scopes, expires_days: days ? Number(days) : null })
      .then(
        (key) => {
          setName("");
          made(key);
        },
        (error: unknown) => error instanceof Problem && show(error),
      )
      .finally(() => setBusy(false));
  };
  return (
    <form class="card make-key" onSubmit={submit} aria-labelledby="make-key">
      <h2 id="make-key">Make a key</h2>
      <div class="row">
        <label>
          Whose or what for{" "}
          <input value={name} maxLength={100} required onInput={(event) => setName(event.currentTarget.value)} placeholder="workstation-3" />
        </label>
        <label>
          Expires after{" "}
          <input type="number" min={1} max={36500} value={days} onInput={(event) => setDays(event.currentTarget.value)} placeholder="never" /> days
        </label>
      </div>
      <fieldset>
        <legend>What it may do</legend>
        {Object.entries(SCOPES).map(([scope, meaning]) => (
          <label key={scope} class="scope">
            <input
              type="checkbox"
              checked={scopes.includes(scope)}
              onChange={(event) =>
                setScopes(event.currentTarget.checked ? [...scopes, scope] : scopes.filter((other) => other !== scope))
              }
            />
            <span>
              <strong>{scope}</strong>: {meaning}
            </span>
          </label>
        ))}
      </fieldset>
      <button type="submit" class="primary" disabled={busy || !scopes.length || !name.trim()}>
        Make the key
      </button>
      {problem && (
        <p role="alert" class="state-error">
          {problem.message} (<code>{problem.code}</code>)
        </p>
      )}
    </form>
  );
}

function MadeKey({ made, close }: { made: Key & { key: string }; close: () => void }) {
  return (
    <Dialog title={`The key ${made.name}`} close={close}>
      <p>Copy it now: it is shown this once, and the archive keeps a hash of it alone.</p>
      <p>
        <code>{made.key}</code> <Copy text={made.key} what="the key" />
      </p>
      <button type="button" class="primary" onClick={close}>
        Done
      </button>
    </Dialog>
  );
}

function EndKey({ one, isOwn, close, ended }: { one: Key; isOwn: boolean; close: () => void; ended: () => void }) {
  const [problem, show] = useState<Problem | null>(null);
  const revoke = () =>
    del(`/v1/keys/${one.id}`).then(
      () => {
        announce(`The key ${one.name} is revoked`);
        ended();
      },
      (error: unknown) => error instanceof Problem && show(error),
    );
  return (
    <Dialog title={`Revoke the key ${one.name}?`} close={close}>
      <p>Programs with it get no answer any more, and browsers that signed in with it are signed out. This cannot be undone.</p>
      {isOwn && (
        <p class="state-error">
          <Icon name="warning" /> You are signed in with this key.
        </p>
      )}
      <p class="row">
        <button type="button" class="primary" onClick={revoke}>
          Revoke
        </button>
        <button type="button" onClick={close}>
          Keep it
        </button>
      </p>
      {problem && (
        <p role="alert" class="state-error">
          {problem.message} (<code>{problem.code}</code>)
        </p>
      )}
    </Dialog>
  );
}
