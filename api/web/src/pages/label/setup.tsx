// What is labelled, in which order, of which cases.
import { useState } from "preact/hooks";
import { get, useLoad } from "../../http";
import { href, setQuery } from "../../router";
import { plural } from "../../format";
import { Icon } from "../../parts/icon";
import { Empty, ListState } from "../../parts/states";
import { MOST_LABELS, ORDERS, ORDER_WORDS, type Order, type StoredLabel, type Task } from "./ask";

const MOST_SHOWN = 40;

/** The stored labels by name, most used first. */
function useLabels() {
  return useLoad("labels", async (signal) => {
    const found = await get<{ labels: StoredLabel[] }>("/v1/labels", {}, signal);
    const counts = new Map<string, number>();
    for (const one of found.labels) counts.set(one.label, (counts.get(one.label) ?? 0) + one.n);
    return [...counts].sort((a, b) => b[1] - a[1]);
  });
}

function NewLabel({ add, word }: { add: (label: string) => void; word: string }) {
  const [text, write] = useState("");
  const known = useLabels();
  return (
    <form
      class="row"
      onSubmit={(event) => {
        event.preventDefault();
        if (text.trim()) add(text.trim());
        write("");
      }}
    >
      <input
        list="label-names"
        value={text}
        onInput={(event) => write(event.currentTarget.value)}
        aria-label={`${word}: its name`}
        placeholder="name of a label"
        maxLength={200}
        autocomplete="off"
      />
      <datalist id="label-names">{known.state === "ready" && known.value.slice(0, 200).map(([name]) => <option key={name} value={name} />)}</datalist>
      <button type="submit" disabled={!text.trim()}>
        <Icon name="plus" /> {word}
      </button>
    </form>
  );
}

/** Nothing is chosen yet. */
export function Start() {
  const labels = useLabels();
  return (
    <Empty title="What do you want to label?">
      <p>Cases come one at a time; each reader&apos;s label is kept, and the archive has what most readers say.</p>
      <NewLabel word="Begin" add={(label) => setQuery({ label })} />
      <ListState of={labels}>
        {(found) =>
          found.length ? (
            <>
              <h3>Labels of this archive</h3>
              <ul class="plain label-names">
                {found.slice(0, MOST_SHOWN).map(([name, n]) => (
                  <li key={name}>
                    <a href={href("label", "", { label: name })}>{name}</a> <span class="quiet">{plural(n, "case")}</span>
                  </li>
                ))}
              </ul>
              {found.length > MOST_SHOWN && <p class="quiet">and {found.length - MOST_SHOWN} more: write its name above</p>}
            </>
          ) : (
            <p class="quiet">No case has a label yet: name the first.</p>
          )
        }
      </ListState>
    </Empty>
  );
}

export function Setup({ task }: { task: Task }) {
  const [filter, write] = useState("");
  const relabel = (label: string[]) => setQuery({ label });
  return (
    <div class="label-setup">
      <div class="row" role="group" aria-label="Labels">
        {task.labels.map((label) => (
          <span key={label} class="chip">
            {label}
            <button type="button" class="bare" aria-label={`Do not label ${label}`} onClick={() => relabel(task.labels.filter((one) => one !== label))}>
              <Icon name="close" />
            </button>
          </span>
        ))}
        {task.labels.length < MOST_LABELS && <NewLabel word="Add label" add={(label) => relabel([...task.labels, label])} />}
      </div>
      <div class="row">
        <label>
          Next is{" "}
          <select value={task.order} onChange={(event) => setQuery({ order: event.currentTarget.value as Order })}>
            {ORDERS.map((one) => (
              <option key={one} value={one}>
                {one}: {ORDER_WORDS[one]}
              </option>
            ))}
          </select>
        </label>
        {task.order === "random" && (
          <button type="button" onClick={() => setQuery({ seed: (task.seed + 1) % 2 ** 31 })}>
            Shuffle anew
          </button>
        )}
        <form
          class="row"
          onSubmit={(event) => {
            event.preventDefault();
            if (filter.trim()) setQuery({ where: [...task.where, filter.trim()] });
            write("");
          }}
        >
          <input value={filter} onInput={(event) => write(event.currentTarget.value)} aria-label="Filter" placeholder="modality=CT" maxLength={2000} />
          <button type="submit" disabled={!filter.trim()}>
            <Icon name="plus" /> Filter
          </button>
        </form>
        {task.where.map((one) => (
          <span key={one} class="chip">
            <code>{one}</code>
            <button type="button" class="bare" aria-label={`Drop the filter ${one}`} onClick={() => setQuery({ where: task.where.filter((other) => other !== one) })}>
              <Icon name="close" />
            </button>
          </span>
        ))}
      </div>
    </div>
  );
}
