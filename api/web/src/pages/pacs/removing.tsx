// A connection is removed: what came from it stays.
import { useState } from "preact/hooks";
import { del, Problem } from "../../http";
import { announce } from "../../parts/announce";
import { Dialog } from "../../parts/dialog";
import { Failed } from "../../parts/states";
import { pathOf, type Connection } from "./pacs";

export function Removing({ connection, close, removed }: { connection: Connection; close: () => void; removed: () => void }) {
  const [problem, tell] = useState<Problem | null>(null);
  const [busy, wait] = useState(false);
  const remove = () => {
    wait(true);
    del(pathOf(connection.name))
      .then(
        () => {
          announce(`The connection ${connection.name} is removed`);
          close();
          removed();
        },
        (error: unknown) => tell(error instanceof Problem ? error : null),
      )
      .finally(() => wait(false));
  };
  return (
    <Dialog title={`Remove the connection ${connection.name}?`} close={close}>
      <p>Studies that came from it stay in the archive, and the PACS keeps its own. Nothing more is asked of it or sent to it.</p>
      <p class="row">
        <button type="button" class="primary" disabled={busy} onClick={remove}>
          Remove
        </button>
        <button type="button" onClick={close}>
          Keep it
        </button>
      </p>
      {problem && <Failed problem={problem} />}
    </Dialog>
  );
}
