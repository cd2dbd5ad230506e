// Saved views: the filters, sort and form of a list under a name, kept by the service for each key.
import { useState } from "preact/hooks";
import { announce } from "../../parts/announce";
import { Dialog } from "../../parts/dialog";
import { Icon } from "../../parts/icon";
import { Failed, ListState } from "../../parts/states";
import { del, get, Problem, put, useLoad } from "../../http";
import { navigate, ROOT } from "../../router";

interface View {
  name: string;
  page: string;
  query: string;
  created_at: string;
}

export function SavedViews() {
  const [open, show] = useState(false);
  return (
    <>
      <button type="button" onClick={() => show(true)}>
        Views
      </button>
      {open && <ViewDialog close={() => show(false)} />}
    </>
  );
}

function ViewDialog({ close }: { close: () => void }) {
  const found = useLoad("views", (signal) => get<{ views: View[] }>("/v1/views", {}, signal));
  const [name, write] = useState("");
  const [problem, tell] = useState<Problem | null>(null);
  const doing = (work: Promise<unknown>, done: string) =>
    work.then(
      () => {
        tell(null);
        announce(done);
        found.retry();
      },
      (error: unknown) => tell(error instanceof Problem ? error : null),
    );
  const save = (event: Event) => {
    event.preventDefault();
    const query = location.search.replace(/^\?/, "");
    void doing(put(`/v1/views/${encodeURIComponent(name.trim())}`, { page: "cases", query }), `The view ${name.trim()} is saved`);
  };
  return (
    <Dialog title="Saved views" close={close}>
      <ListState of={found}>
        {({ views }) => {
          const mine = views.filter((one) => one.page === "cases");
          if (!mine.length) return <p class="quiet">No view is saved yet.</p>;
          return (
            <ul class="plain views">
              {mine.map((one) => (
                <li key={one.name} class="row spread">
                  <button
                    type="button"
                    onClick={() => {
                      navigate(`${ROOT}/app/cases${one.query ? `?${one.query}` : ""}`);
                      close();
                    }}
                  >
                    {one.name}
                  </button>
                  <button
                    type="button"
                    class="bare"
                    aria-label={`Remove the view ${one.name}`}
                    onClick={() => void doing(del(`/v1/views/${encodeURIComponent(one.name)}`), `The view ${one.name} is removed`)}
                  >
                    <Icon name="close" />
                  </button>
                </li>
              ))}
            </ul>
          );
        }}
      </ListState>
      <form class="row" onSubmit={save}>
        <label>
          Save what is shown as <input required maxLength={64} value={name} onInput={(event) => write(event.currentTarget.value)} />
        </label>
        <button type="submit" class="primary">
          Save
        </button>
      </form>
      {problem && <Failed problem={problem} />}
    </Dialog>
  );
}
