// What must be settled before a draft is accepted, and the buttons that settle it.
import { useState } from "preact/hooks";
import { plural } from "../../format";
import { post, Problem } from "../../http";
import { announce } from "../../parts/announce";
import { Dialog } from "../../parts/dialog";
import { Icon } from "../../parts/icon";
import { Failed } from "../../parts/states";
import type { Deciding } from "./deciding";
import { Difference } from "./diff";
import type { Concern, Report } from "./report";

export interface AcceptingProps {
  report: Report;
  deciding: Deciding;
  /** The draft as it is after a step. */
  changed: (report: Report) => void;
  reload: () => void;
}

export function Accepting({ report, deciding, changed, reload }: AcceptingProps) {
  const [problem, fail] = useState<Problem | null>(null);
  const [busy, wait] = useState(false);
  const [asking, ask] = useState<"reject" | "text" | null>(null);
  const incomplete = deciding.reviewed ? deciding.reviewed.incomplete : report.incomplete;
  const step = (path: string, body: object, said: string) => {
    wait(true);
    fail(null);
    post<Report>(`/v1/reports/${report.id}/${path}`, { revision: report.revision, ...body })
      .then((done) => {
        ask(null);
        announce(said);
        changed(done);
      })
      .catch((error: unknown) => fail(error instanceof Problem ? error : null))
      .finally(() => wait(false));
  };
  const accept = () =>
    step("accept", { sentences: deciding.decisions(), acknowledge: [...deciding.acknowledged] }, "The draft is accepted: it is the report of the study now");
  const why = reasons(report, deciding, incomplete);
  return (
    <section class="card accepting" aria-label="Accept or reject">
      <h2>Before it is accepted</h2>
      <Asked deciding={deciding} />
      {deciding.reviewed?.difference && (
        <details open>
          <summary>What your decisions change</summary>
          <Difference name="What your decisions change" text={deciding.reviewed.difference} />
        </details>
      )}
      {deciding.problem && <Failed problem={deciding.problem} />}
      {problem && <Failed problem={problem} retry={problem.code === "draft-changed" || problem.code === "draft-settled" ? reload : undefined} />}
      <p id="why-not" class={why.length ? "must" : "quiet"}>
        {deciding.checking ? "The text is being checked…" : why.length ? `Not yet: ${why.join(", ")}.` : "Nothing stands open: accepting makes it the study's report."}
      </p>
      <div class="row">
        <button type="button" class="primary" disabled={busy || deciding.checking || why.length > 0 || deciding.problem !== null} aria-describedby="why-not" onClick={accept}>
          <Icon name="check" /> Accept{deciding.chosen.size ? ` with ${plural(deciding.chosen.size, "decision")}` : " as it stands"}
        </button>
        <button type="button" disabled={busy} onClick={() => ask("text")}>
          Edit the whole text…
        </button>
        <button type="button" disabled={busy} onClick={() => ask("reject")}>
          Reject…
        </button>
        {deciding.chosen.size > 0 && (
          <button type="button" onClick={deciding.forget}>
            Forget {plural(deciding.chosen.size, "decision")}
          </button>
        )}
      </div>
      {asking === "reject" && <Reject close={() => ask(null)} busy={busy} problem={problem} reject={(reason) => step("reject", { reason }, "The draft is rejected")} />}
      {asking === "text" && <WholeText text={report.text} close={() => ask(null)} busy={busy} problem={problem} save={(text) => step("edit", { text }, "The text is kept as yours, and checked again")} />}
    </section>
  );
}

function reasons(report: Report, deciding: Deciding, incomplete: string | null): string[] {
  const undecided = deciding.undecided.length;
  const others = deciding.others.filter((one) => !deciding.acknowledged.has(one.id)).length;
  return [
    incomplete ? "its text was cut off, so that its end must be edited or cut" : "",
    undecided ? `${plural(undecided, "sentence")} ${undecided === 1 ? "is" : "are"} undecided` : "",
    others ? `${plural(others, "concern")} above ${others === 1 ? "is" : "are"} not acknowledged` : "",
    report.sentences.length ? "" : "it has no text",
  ].filter(Boolean);
}

/** What is asked of a sentence is decided beside it; all else is acknowledged here. */
function Asked({ deciding }: { deciding: Deciding }) {
  const { undecided, others } = deciding;
  return (
    <>
      {undecided.length > 0 && (
        <p>
          Keep, edit or cut {undecided.length === 1 ? "the sentence" : `each of the ${undecided.length} sentences`} above that must be decided.
        </p>
      )}
      {others.length > 0 && (
        <ul class="plain asked">
          {others.map((one) => (
            <Acknowledge key={one.id} concern={one} deciding={deciding} />
          ))}
        </ul>
      )}
    </>
  );
}

function Acknowledge({ concern, deciding }: { concern: Concern; deciding: Deciding }) {
  return (
    <li>
      <label>
        <input type="checkbox" checked={deciding.acknowledged.has(concern.id)} onChange={(event) => deciding.acknowledge(concern.id, event.currentTarget.checked)} />{" "}
        {concern.sentence}
        {concern.quote && <q>{concern.quote}</q>} <span class="quiet">I have seen this, and it stays so.</span>
      </label>
    </li>
  );
}

function Reject({ close, busy, problem, reject }: { close: () => void; busy: boolean; problem: Problem | null; reject: (reason: string) => void }) {
  const [reason, write] = useState("");
  return (
    <Dialog title="Reject the draft" close={close}>
      <form
        class="stack"
        onSubmit={(event) => {
          event.preventDefault();
          reject(reason.trim());
        }}
      >
        <label>
          Why it is rejected
          <textarea rows={3} maxLength={2000} required value={reason} onInput={(event) => write(event.currentTarget.value)} />
        </label>
        {problem && <Failed problem={problem} />}
        <div class="row">
          <button type="submit" class="primary" disabled={busy || !reason.trim()}>
            Reject
          </button>
          <button type="button" onClick={close}>
            Back
          </button>
        </div>
      </form>
    </Dialog>
  );
}

function WholeText({ text, close, busy, problem, save }: { text: string; close: () => void; busy: boolean; problem: Problem | null; save: (text: string) => void }) {
  const [words, write] = useState(text);
  return (
    <Dialog title="Edit the whole text" close={close}>
      <form
        class="stack"
        onSubmit={(event) => {
          event.preventDefault();
          save(words);
        }}
      >
        <label>
          The text, which stands in place of the draft's
          <textarea class="whole-text" rows={16} maxLength={100000} value={words} onInput={(event) => write(event.currentTarget.value)} />
        </label>
        {problem && <Failed problem={problem} />}
        <div class="row">
          <button type="submit" class="primary" disabled={busy || !words.trim() || words === text}>
            Keep this text
          </button>
          <button type="button" onClick={close}>
            Back
          </button>
        </div>
      </form>
    </Dialog>
  );
}
