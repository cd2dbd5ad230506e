// A probe of a label of the archive's own: what it learns from, and how.
import { useState } from "preact/hooks";
import { plural } from "../../format";
import { get, useLoad } from "../../http";
import { Empty, ListState } from "../../parts/states";
import { href } from "../../router";
import { Followed, useOrders } from "./orders";

interface Label {
  label: string;
  level: string;
  n: number;
  positive: number;
}

const NAME = "[A-Za-z0-9][A-Za-z0-9._\\-]{0,63}";

export function Train({ query }: { query: URLSearchParams }) {
  const orders = useOrders();
  const found = useLoad("labels", (signal) => get<{ labels: Label[] }>("/v1/labels", {}, signal));
  const [name, call] = useState("");
  const [labels, choose] = useState<readonly string[]>([]);
  const [plan, change] = useState({ level: "study", pooling: "mean", folds: "5", exclusive: false, balanced: false });
  if (!orders.allowed) {
    return (
      <Empty title="Your key may not train">
        <p>Ask an administrator for a key with the scope train.</p>
      </Empty>
    );
  }
  const start = (event: Event) => {
    event.preventDefault();
    orders.start("/v1/probes", {
      name: name.trim(),
      labels,
      level: plan.level,
      pooling: plan.pooling,
      folds: Number(plan.folds),
      exclusive: plan.exclusive,
      ...(plan.balanced ? { class_weight: "balanced" } : {}),
    });
  };
  return (
    <>
      <Followed orders={orders} query={query} />
      <ListState of={found}>
        {({ labels: stored }) =>
          stored.length ? (
            <form class="stack card" onSubmit={start}>
              <label>
                What the probe is called
                <input
                  type="text"
                  required
                  maxLength={64}
                  pattern={NAME}
                  title="Letters, digits, dots, hyphens and underscores; a name that exists gets a new version"
                  value={name}
                  onInput={(event) => call(event.currentTarget.value)}
                />
              </label>
              <fieldset>
                <legend>Labels that it learns</legend>
                <ul class="plain label-choice">
                  {stored.map((one) => (
                    <li key={`${one.level} ${one.label}`}>
                      <label class="row">
                        <input
                          type="checkbox"
                          checked={labels.includes(one.label)}
                          onChange={(event) => choose(event.currentTarget.checked ? [...labels, one.label] : labels.filter((other) => other !== one.label))}
                        />
                        {one.label}{" "}
                        <span class="quiet">
                          {plural(one.n, one.level === "study" ? "study" : one.level === "series" ? "series" : "instance", one.level === "study" ? "studies" : one.level === "series" ? "series" : "instances")}, {one.positive} positive
                        </span>
                      </label>
                    </li>
                  ))}
                </ul>
              </fieldset>
              <div class="row filters">
                <label>
                  One case is{" "}
                  <select value={plan.level} onChange={(event) => change({ ...plan, level: event.currentTarget.value })}>
                    <option value="study">a study</option>
                    <option value="series">a series</option>
                    <option value="image">an image</option>
                  </select>
                </label>
                <label>
                  Pictures of a case are pooled by the{" "}
                  <select value={plan.pooling} disabled={plan.level === "image"} onChange={(event) => change({ ...plan, pooling: event.currentTarget.value })}>
                    <option value="mean">mean</option>
                    <option value="max">maximum</option>
                  </select>
                </label>
                <label>
                  Folds{" "}
                  <input type="number" min={5} max={20} required value={plan.folds} onInput={(event) => change({ ...plan, folds: event.currentTarget.value })} />
                </label>
                <label class="row">
                  <input type="checkbox" checked={plan.exclusive} onChange={(event) => change({ ...plan, exclusive: event.currentTarget.checked })} />
                  each case has one of these labels
                </label>
                <label class="row">
                  <input type="checkbox" checked={plan.balanced} onChange={(event) => change({ ...plan, balanced: event.currentTarget.checked })} />
                  rare labels weigh more
                </label>
              </div>
              <p class="quiet">Figures are out of fold, and folds are split by patient.</p>
              <div>
                <button type="submit" class="primary" disabled={orders.busy || !name.trim() || !labels.length}>
                  Train on {plural(labels.length, "label")}
                </button>
              </div>
            </form>
          ) : (
            <Empty title="No case carries a label yet">
              <p>
                Label some cases first, or import a CSV: <code>medsiglip label import labels.csv</code>.
              </p>
              <a href={href("label")}>To the labels</a>
            </Empty>
          )
        }
      </ListState>
    </>
  );
}
