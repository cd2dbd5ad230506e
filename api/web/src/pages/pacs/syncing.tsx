// A sync is started: what is new at the PACS, or has grown there, comes in.
import { useState } from "preact/hooks";
import { post, Problem } from "../../http";
import { announce } from "../../parts/announce";
import { Dialog } from "../../parts/dialog";
import { Failed } from "../../parts/states";
import { href, navigate } from "../../router";
import { jobStarted } from "../../shell/job_bell";
import type { Job } from "../../types";
import { pathOf } from "./pacs";

export function Syncing({ connection, close }: { connection: string; close: () => void }) {
  const [since, setSince] = useState("");
  const [modality, setModality] = useState("");
  const [problem, tell] = useState<Problem | null>(null);
  const [busy, wait] = useState(false);
  const start = (event: Event) => {
    event.preventDefault();
    wait(true);
    tell(null);
    const where = modality.trim() ? { modality: modality.trim().toUpperCase() } : {};
    post<Job>(pathOf(connection, "/sync"), { ...(since ? { since } : {}), ...(modality.trim() ? { where } : {}) })
      .then(
        (job) => {
          announce("The sync has started");
          jobStarted();
          navigate(href("pacs", "", { tab: "studies", connection, job: job.id }));
        },
        (error: unknown) => tell(error instanceof Problem ? error : null),
      )
      .finally(() => wait(false));
  };
  return (
    <Dialog title={`Sync ${connection}`} close={close}>
      <p>
        Studies that are new at the PACS, or have grown there, are brought in; within the connection's rate and hours. What was forgotten
        here stays away. It goes on where it was interrupted.
      </p>
      <form class="row" onSubmit={start}>
        <label>
          Study date from{" "}
          <input type="date" value={since} onInput={(event) => setSince(event.currentTarget.value)} />
        </label>
        <label>
          Modality{" "}
          <input value={modality} maxLength={16} size={5} placeholder="any" onInput={(event) => setModality(event.currentTarget.value)} />
        </label>
        <button type="submit" class="primary" disabled={busy}>
          Start the sync
        </button>
      </form>
      {!since && <p class="quiet">Without a date it goes on where the last one ended, and otherwise begins with all that the PACS holds.</p>}
      {problem && <Failed problem={problem} />}
    </Dialog>
  );
}
