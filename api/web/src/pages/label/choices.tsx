// What the reader says of the case that is shown: one row for each label, by pointer or by number key.
import { useKeys } from "../../keys";
import { Icon } from "../../parts/icon";
import { Failed } from "../../parts/states";
import type { Said } from "./ask";
import type { Work } from "./work";

const SAYINGS: [Said, string][] = [
  [1, "present"],
  [0, "absent"],
  [null, "no say"],
];

/** Of one label 1 is present and 2 absent; of several each key goes through what can be said of its label. */
function keysOf(labels: readonly string[], work: Work): Record<string, () => void> {
  const [only] = labels;
  if (labels.length === 1 && only !== undefined) {
    return { "1": () => work.choose(only, 1), "2": () => work.choose(only, 0), "3": () => work.choose(only, null) };
  }
  const following = (value: Said | undefined): Said => (value === 1 ? 0 : value === 0 ? null : 1);
  return Object.fromEntries(labels.map((label, i) => [String(i + 1), () => work.choose(label, following(work.chosen[label]))]));
}

export function Choices({ labels, work, allowed }: { labels: readonly string[]; work: Work; allowed: boolean }) {
  useKeys(
    allowed
      ? {
          ...keysOf(labels, work),
          Enter: work.save,
          z: work.takeBack,
          Z: work.takeBack,
        }
      : {},
  );
  useKeys({ j: () => work.move(1), k: () => work.move(-1) });
  return (
    <form
      class="card label-choices"
      aria-label="Labels of this case"
      onSubmit={(event) => {
        event.preventDefault();
        work.save();
      }}
    >
      {labels.map((label, i) => (
        <fieldset key={label} disabled={!allowed || !work.shown}>
          <legend>
            {labels.length > 1 && <kbd>{i + 1}</kbd>} {label}
          </legend>
          <div class="row">
            {SAYINGS.map(([value, word], key) => (
              <label key={word} class={`label-say label-say-${word.replace(" ", "-")}`}>
                <input
                  type="radio"
                  name={`label-${i}`}
                  checked={(work.chosen[label] ?? null) === value}
                  onChange={() => work.choose(label, value)}
                />
                {value !== null && <Icon name={value ? "check" : "cross"} />} {word}
                {labels.length === 1 && <kbd aria-hidden="true">{key + 1}</kbd>}
              </label>
            ))}
          </div>
        </fieldset>
      ))}
      <div class="row">
        <button type="submit" class="primary" disabled={!allowed || work.busy || !work.shown}>
          Save and go on <kbd>Enter</kbd>
        </button>
        <button type="button" disabled={!allowed || work.busy} onClick={work.takeBack}>
          Undo <kbd>z</kbd>
        </button>
      </div>
      <div class="row">
        <button type="button" onClick={() => work.move(-1)}>
          <Icon name="left" /> Back <kbd>k</kbd>
        </button>
        <button type="button" disabled={!work.shown} onClick={() => work.move(1)}>
          Skip <kbd>j</kbd> <Icon name="right" />
        </button>
        {work.saved && (
          <span class="label-saved">
            <Icon name="check" /> saved
          </span>
        )}
      </div>
      {!allowed && <p class="quiet">Your key may look only: labels are given with a key that has the scope write.</p>}
      {work.failed && <Failed problem={work.failed} />}
    </form>
  );
}
