// Collections: cases go in and out, and the list shows one by its filter.
import { useEffect, useId, useRef, useState } from "preact/hooks";
import { announce } from "../../parts/announce";
import { Dialog } from "../../parts/dialog";
import { Icon } from "../../parts/icon";
import { Failed, ListState } from "../../parts/states";
import { count, plural } from "../../format";
import { del, get, Problem, put, useLoad } from "../../http";
import { setQuery } from "../../router";
import { scopeWords, type Scope } from "./acting";

interface Collection {
  name: string;
  author: string;
  cases: number;
}

export function CollectDialog({ scope, close, changed }: { scope: Scope; close: () => void; changed: () => void }) {
  const found = useLoad("collections", (signal) => get<{ collections: Collection[] }>("/v1/collections", {}, signal));
  const [name, write] = useState("");
  const [busy, work] = useState(false);
  const [problem, tell] = useState<Problem | null>(null);
  const [sure, ask] = useState("");
  const id = useId();
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => field.current?.focus(), []);

  const run = (doing: Promise<string>) => {
    work(true);
    doing.then(
      (sentence) => {
        work(false);
        tell(null);
        announce(sentence);
        found.retry();
        changed();
      },
      (error: unknown) => {
        work(false);
        tell(error instanceof Problem ? error : new Problem(0, "screen-error", "This failed", String(error), ""));
      },
    );
  };
  const change = (out: boolean) => {
    const body = out ? { remove: scope.uids } : scope.uids ? { add: scope.uids } : { where: scope.where };
    const path = `/v1/collections/${encodeURIComponent(name.trim())}`;
    run(
      put<{ added: number; removed: number; cases: number }>(path, body).then(
        (answer) => `${plural(out ? answer.removed : answer.added, "case")} ${out ? "taken out of" : "put into"} ${name.trim()}, which has ${count(answer.cases)}`,
      ),
    );
  };
  const remove = (which: string) => {
    if (sure !== which) return ask(which);
    ask("");
    run(del(`/v1/collections/${encodeURIComponent(which)}`).then(() => `The collection ${which} is removed`));
  };
  return (
    <Dialog title={`Collections: ${scopeWords(scope)}`} close={close}>
      <form
        class="tagging"
        onSubmit={(event) => {
          event.preventDefault();
          change(false);
        }}
      >
        <label>
          Collection
          <input
            list={id}
            required
            maxLength={64}
            pattern="[A-Za-z0-9][A-Za-z0-9._\-]*"
            title="Letters, digits, dots, hyphens and underscores"
            value={name}
            ref={field}
            onInput={(event) => write(event.currentTarget.value)}
          />
        </label>
        <datalist id={id}>
          {(found.value?.collections ?? []).map((one) => (
            <option key={one.name} value={one.name} />
          ))}
        </datalist>
        <div class="row">
          <button type="submit" class="primary" disabled={busy || !name.trim()}>
            Put {scopeWords(scope)} in
          </button>
          {scope.uids && (
            <button type="button" disabled={busy || !name.trim()} onClick={() => change(true)}>
              Take {scopeWords(scope)} out
            </button>
          )}
        </div>
      </form>
      {problem && <Failed problem={problem} />}
      <h3>All collections</h3>
      <ListState of={found}>
        {({ collections }) =>
          collections.length ? (
            <ul class="plain views">
              {collections.map((one) => (
                <li key={one.name} class="row spread">
                  <button
                    type="button"
                    onClick={() => {
                      setQuery({ where: [`collection=${one.name}`] });
                      close();
                    }}
                  >
                    {one.name} ({plural(one.cases, "case")})
                  </button>
                  <button type="button" class={sure === one.name ? "" : "bare"} aria-label={`Remove the collection ${one.name}`} onClick={() => remove(one.name)}>
                    {sure === one.name ? "Remove it for everybody" : <Icon name="close" />}
                  </button>
                </li>
              ))}
            </ul>
          ) : (
            <p class="quiet">There is no collection yet.</p>
          )
        }
      </ListState>
    </Dialog>
  );
}
