// Connections and the receiver: when each was last seen, what waits, what failed and why.
import { useState } from "preact/hooks";
import { count, figure, moment, plural } from "../../format";
import { post, Problem } from "../../http";
import { announce } from "../../parts/announce";
import { Icon } from "../../parts/icon";
import { Empty, Failed } from "../../parts/states";
import { href } from "../../router";
import { may, useKnown } from "../../session";
import { AddConnection } from "./adding";
import { KINDS, pathOf, STATES, type Connection, type PacsList, type Receiver } from "./pacs";
import { Removing } from "./removing";
import { Sign, Why } from "./sign";
import { Syncing } from "./syncing";

export function Connections({ list, reload }: { list: PacsList; reload: () => void }) {
  const { session } = useKnown();
  const admin = may(session, "admin");
  return (
    <div class="pacs">
      {!list.connections.length && (
        <Empty title="No PACS is connected yet">
          <p>
            A connection is added {admin ? "below" : "by an administrator"}, or by the command{" "}
            <code>medsiglip pacs add NAME --url URL</code>.
          </p>
        </Empty>
      )}
      <div class="columns">
        {list.connections.map((one) => (
          <Card key={one.name} one={one} reload={reload} />
        ))}
      </div>
      <ReceiverCard receiver={list.receiver ?? null} />
      {admin && <AddConnection known={list.connections.map((one) => one.name)} added={reload} />}
    </div>
  );
}

function Card({ one, reload }: { one: Connection; reload: () => void }) {
  const { session } = useKnown();
  const write = may(session, "write");
  const [dialog, open] = useState<"sync" | "remove" | null>(null);
  const id = `connection-${one.name}`;
  return (
    <section class="card pacs-card" aria-labelledby={id}>
      <div class="row spread">
        <h2 id={id}>{one.name}</h2>
        <span class="row">
          <span class="quiet">{KINDS[one.kind] ?? one.kind}</span>
          <Sign of={STATES[one.state]} />
          {one.syncing && <span class="status status-running">syncing</span>}
        </span>
      </div>
      <dl class="facts">
        <div>
          <dt>Last seen</dt>
          <dd>{one.last_seen_at ? moment(one.last_seen_at) : "never"}</dd>
        </div>
        {one.failure && (
          <div>
            <dt>Last failed</dt>
            <dd>{moment(one.failed_at)}</dd>
          </div>
        )}
      </dl>
      {one.failure && one.state === "failing" && (
        <p class="must">
          <Why failure={one.failure} />
        </p>
      )}
      <Counts one={one} />
      {write && (
        <div class="row">
          <a class="button" href={href("pacs", "", { tab: "find", connection: one.name })}>
            <Icon name="search" /> Find<span class="unseen"> in {one.name}</span>
          </a>
          <button type="button" onClick={() => open("sync")}>
            Sync…<span class="unseen"> {one.name}</span>
          </button>
          <Echo one={one} done={reload} />
          {may(session, "admin") && (
            <button type="button" onClick={() => open("remove")}>
              Remove…<span class="unseen"> {one.name}</span>
            </button>
          )}
        </div>
      )}
      {one.options && <Options of={one.options} name={one.name} />}
      {dialog === "sync" && <Syncing connection={one.name} close={() => open(null)} />}
      {dialog === "remove" && <Removing connection={one} close={() => open(null)} removed={reload} />}
    </section>
  );
}

function Counts({ one }: { one: Connection }) {
  const { waiting, here, incomplete, failed } = one.studies;
  const of = (status: string, number: number) => (
    <div key={status}>
      <dt>Studies {status}</dt>
      <dd>{number ? <a href={href("pacs", "", { connection: one.name, status })}>{count(number)}</a> : "0"}</dd>
    </div>
  );
  const sent = one.deliveries;
  return (
    <dl class="figures">
      {of("waiting", waiting)}
      {of("here", here)}
      {of("incomplete", incomplete)}
      {of("failed", failed)}
      <div>
        <dt>Documents sent</dt>
        <dd>
          {sent.sent || sent.waiting || sent.failed ? <a href={href("pacs", "", { tab: "documents", connection: one.name })}>{count(sent.sent)}</a> : "0"}
          {sent.waiting > 0 && <small class="quiet"> {count(sent.waiting)} waiting</small>}
          {sent.failed > 0 && <small class="must"> {count(sent.failed)} failed</small>}
        </dd>
      </div>
    </dl>
  );
}

interface EchoAnswer {
  seconds: number;
  about: string;
}

/** Ask the PACS whether it answers. */
function Echo({ one, done }: { one: Connection; done: () => void }) {
  const [state, tell] = useState<"busy" | EchoAnswer | Problem | null>(null);
  const ask = () => {
    tell("busy");
    post<EchoAnswer>(pathOf(one.name, "/echo")).then(
      (answer) => {
        tell(answer);
        announce(`${one.name} answers`);
        done();
      },
      (error: unknown) => {
        tell(error instanceof Problem ? error : null);
        done(); // the service keeps why it failed
      },
    );
  };
  return (
    <>
      <button type="button" disabled={state === "busy"} onClick={ask}>
        Echo<span class="unseen"> {one.name}</span>
      </button>
      {state === "busy" && (
        <span class="quiet" role="status">
          Waiting for its answer …
        </span>
      )}
      {state instanceof Problem && <Failed problem={state} retry={ask} />}
      {state && state !== "busy" && !(state instanceof Problem) && (
        <span class="tone-good">
          Answered after {figure(state.seconds)} s{state.about ? `: ${state.about}` : ""}
        </span>
      )}
    </>
  );
}

function Options({ of, name }: { of: Record<string, unknown>; name: string }) {
  const words = (value: unknown) => (Array.isArray(value) ? value.join(", ") : String(value));
  return (
    <details>
      <summary>
        How it is reached<span class="unseen">: {name}</span>
      </summary>
      <dl class="facts">
        {Object.entries(of)
          .filter(([, value]) => value !== null && value !== undefined)
          .map(([option, value]) => (
            <div key={option}>
              <dt>
                <code>{option}</code>
              </dt>
              <dd class="uid">{words(value)}</dd>
            </div>
          ))}
      </dl>
    </details>
  );
}

function ReceiverCard({ receiver }: { receiver: Receiver | null }) {
  return (
    <section class="card pacs-card" aria-labelledby="receiver">
      <div class="row spread">
        <h2 id="receiver">Receiver</h2>
        {receiver && <Sign of={receiver.running ? ["check", "running", "good"] : ["warning", "does not run", "bad"]} />}
      </div>
      {!receiver ? (
        <p class="quiet">
          No receiver has run for this archive. <code>medsiglip receive</code> starts one, to which a PACS or a modality sends by C-STORE.
        </p>
      ) : (
        <>
          <p>
            AE title <code>{receiver.ae_title}</code>, port <code>{receiver.port}</code>
          </p>
          <dl class="figures">
            {(
              [
                ["Associations now", receiver.associations],
                ["Studies not handed over yet", receiver.waiting_studies],
                ["Instances received", receiver.received],
                ["Instances failed", receiver.failed],
              ] as const
            ).map(([name, value]) => (
              <div key={name}>
                <dt>{name}</dt>
                <dd>{count(value)}</dd>
              </div>
            ))}
          </dl>
          <p class="quiet">
            {receiver.last_received_at ? `The last came ${moment(receiver.last_received_at)}` : "Nothing came yet"}
            {receiver.waiting_studies > 0 && `; ${plural(receiver.waiting_studies, "study waits", "studies wait")} until no more comes`}.
          </p>
        </>
      )}
    </section>
  );
}
