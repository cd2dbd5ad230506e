// A label for cases: present, absent, or taken back; what was given last can be undone.
import { useEffect, useId, useRef, useState } from "preact/hooks";
import { announce } from "../../parts/announce";
import { Dialog } from "../../parts/dialog";
import { Failed } from "../../parts/states";
import { plural } from "../../format";
import { get, post, Problem, useLoad } from "../../http";
import { scopeWords, type Scope } from "./acting";

const VALUES: readonly [string, number | null, string][] = [
  ["1", 1, "present"],
  ["0", 0, "absent"],
  ["", null, "take my label back"],
];

export function TagDialog({ scope, close, changed }: { scope: Scope; close: () => void; changed: () => void }) {
  const known = useLoad("labels", (signal) => get<{ labels: { label: string }[] }>("/v1/labels", {}, signal));
  const [label, write] = useState("");
  const [value, choose] = useState("1");
  const [busy, work] = useState(false);
  const [problem, tell] = useState<Problem | null>(null);
  const [done, finish] = useState<string | null>(null);
  const id = useId();
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => field.current?.focus(), []);
  const names = [...new Set((known.value?.labels ?? []).map((one) => one.label))];

  const ended = (sentence: string | null, failed: Problem | null) => {
    work(false);
    tell(failed);
    finish(sentence);
    if (sentence) {
      announce(sentence);
      changed();
    }
  };
  const failed = (error: unknown) => ended(null, error instanceof Problem ? error : new Problem(0, "screen-error", "This failed", String(error), ""));
  const give = (event: Event) => {
    event.preventDefault();
    const name = label.trim();
    const [, number, word] = VALUES.find(([one]) => one === value)!;
    const body = scope.uids
      ? { rows: scope.uids.map((uid) => ({ study_instance_uid: uid, label: name, value: number })) }
      : { where: scope.where, label: name, value: number };
    work(true);
    post<{ matched: number }>("/v1/labels", body).then(
      (answer) => ended(`${name}, ${word}: ${plural(answer.matched, "case")}`, null),
      failed,
    );
  };
  const undo = () => {
    work(true);
    post("/v1/labels/undo").then(() => ended("The labels are undone", null), failed);
  };
  return (
    <Dialog title={`Tag ${scopeWords(scope)}`} close={close}>
      <form class="tagging" onSubmit={give}>
        <label>
          Label
          <input list={id} required maxLength={200} value={label} ref={field} onInput={(event) => write(event.currentTarget.value)} />
        </label>
        <datalist id={id}>
          {names.map((one) => (
            <option key={one} value={one} />
          ))}
        </datalist>
        <fieldset class="row">
          <legend class="unseen">Value</legend>
          {VALUES.map(([text, , word]) => (
            <label key={text}>
              <input type="radio" name="value" checked={value === text} onChange={() => choose(text)} /> {word}
            </label>
          ))}
        </fieldset>
        <div class="row">
          <button type="submit" class="primary" disabled={busy || !label.trim()}>
            Tag {scopeWords(scope)}
          </button>
          {done && (
            <button type="button" disabled={busy} onClick={undo}>
              Undo
            </button>
          )}
        </div>
      </form>
      {done && <p>{done}</p>}
      {problem && <Failed problem={problem} />}
    </Dialog>
  );
}
