// The cases whose labels look wrong to a probe, when they are asked for: the list names studies.
import { useState } from "preact/hooks";
import { figure, shortUid } from "../../format";
import { get, useLoad } from "../../http";
import { ListState } from "../../parts/states";
import { Table } from "../../parts/table";
import { href } from "../../router";

interface Answer {
  found: number;
  suspects: { label: string; study_instance_uid: string; id: string; given: number; probability: number; margin: number; suggested: string | null }[];
  warnings: string[];
}

export function Suspects({ path }: { path: string }) {
  const [open, show] = useState(false);
  const found = useLoad(open ? `${path}/suspects` : null, (signal) => get<Answer>(`${path}/suspects`, { n: 50 }, signal));
  return (
    <section>
      <h2>Labels that may be wrong</h2>
      {!open ? (
        <button type="button" onClick={() => show(true)}>
          List the cases
        </button>
      ) : (
        <ListState of={found}>
          {(answer) =>
            answer.suspects.length ? (
              <>
                {answer.warnings.map((one) => (
                  <p key={one} class="quiet">
                    {one}
                  </p>
                ))}
                <Table
                  caption="Labels that may be wrong"
                  rows={answer.suspects}
                  rowKey={(one) => `${one.label} ${one.id}`}
                  columns={[
                    { name: "study", title: "Study", show: (one) => <a href={href("cases", one.study_instance_uid)}>{shortUid(one.study_instance_uid)}</a> },
                    { name: "label", title: "Label", show: (one) => one.label },
                    { name: "given", title: "Given", number: true, show: (one) => one.given },
                    { name: "probability", title: "Score of what was given", number: true, show: (one) => figure(one.probability) },
                    { name: "suggested", title: "Looks like", show: (one) => one.suggested ?? "–" },
                  ]}
                />
              </>
            ) : (
              <p class="quiet">The training found none.</p>
            )
          }
        </ListState>
      )}
    </section>
  );
}
