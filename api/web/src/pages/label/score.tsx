// What the model says of the case: not shown before the reader asks for it, as it would lead the reader.
import { post, useLoad } from "../../http";
import { Bar, type Verdict } from "../../parts/bar";
import { ListState, Skeleton } from "../../parts/states";
import { setQuery } from "../../router";
import type { Task } from "./ask";
import type { Work } from "./work";

interface Score {
  label: string;
  probability: number | null;
  calibrated?: boolean;
  verdict?: Verdict | null;
  fits?: boolean | null;
}

interface Predicted {
  probability: Record<string, number>;
  calibrated?: boolean;
  verdict?: Record<string, Verdict> | null;
  trained_on?: boolean | null;
}

async function byProbe(probe: string, uid: string, signal: AbortSignal): Promise<{ scores: Score[]; trained: boolean }> {
  const found = await post<Predicted>(`/v1/probes/${encodeURIComponent(probe)}/predict`, { study_instance_uid: uid }, signal);
  const scores = Object.entries(found.probability).map(([label, probability]) => ({
    label,
    probability,
    calibrated: found.calibrated ?? false,
    verdict: found.verdict?.[label] ?? null,
  }));
  return { scores, trained: found.trained_on ?? false };
}

async function byWords(labels: string[], uid: string, signal: AbortSignal): Promise<{ scores: Score[]; trained: boolean }> {
  const found = await post<{ scores: Score[] }>("/v1/classify", { study_instance_uid: uid, labels }, signal);
  return { scores: found.scores, trained: false };
}

export function ModelScore({ task, work }: { task: Task; work: Work }) {
  return (
    <section class="card" aria-label="What the model says">
      <label>
        <input type="checkbox" checked={task.score} onChange={(event) => setQuery({ score: event.currentTarget.checked ? 1 : null }, { replace: true })} />{" "}
        Show what the model says
      </label>
      {!task.score && <p class="quiet">You read without it, so that it does not lead you.</p>}
      {task.score && work.shown && <Scores task={task} uid={work.shown.study_instance_uid} by={work.queue?.by ?? null} />}
    </section>
  );
}

function Scores({ task, uid, by }: { task: Task; uid: string; by: string | null }) {
  const probe = by?.startsWith("probe ") ? by.slice("probe ".length) : null;
  const found = useLoad(`${uid} ${probe} ${task.labels.join("\n")}`, (signal) =>
    probe ? byProbe(probe, uid, signal) : byWords(task.labels, uid, signal),
  );
  return (
    <ListState of={found} skeleton={<Skeleton rows={task.labels.length} />}>
      {(value) => (
        <>
          {value.scores
            .filter((one) => task.labels.includes(one.label))
            .map((one) => (
              <Bar
                key={one.label}
                label={one.label}
                value={one.fits === false ? null : one.probability}
                calibrated={one.calibrated ?? false}
                verdict={one.verdict}
                note={one.fits === false ? "about other pictures than these" : undefined}
              />
            ))}
          {value.trained && <p class="quiet">The probe was trained on this patient: it repeats what it was told.</p>}
          <p class="quiet">{probe ? `By the probe ${probe}.` : "By the words of the label alone."}</p>
        </>
      )}
    </ListState>
  );
}
