// Models: what prompts and probes are worth here, their calibrations, and probes of the archive's own labels.
import type { PageProps } from "../../shell/pages";
import { setQuery } from "../../router";
import { Calibrations } from "./calibrations";
import { Probes } from "./probes";
import { PromptSets } from "./prompt_sets";
import { Train } from "./train";

const TABS = [
  ["probes", "Probes"],
  ["prompts", "Prompt sets"],
  ["calibrations", "Calibrations"],
  ["train", "Train a probe"],
] as const;

const CLEARED = { probe: null, label: null, threshold: null, set: null, subject: null, job: null };

export default function Page({ place }: PageProps) {
  const asked = place.query.get("tab");
  const tab = TABS.find(([name]) => name === asked)?.[0] ?? "probes";
  const step = (by: number) => {
    const at = TABS.findIndex(([name]) => name === tab);
    const next = TABS[(at + by + TABS.length) % TABS.length]![0];
    setQuery({ ...CLEARED, tab: next });
    document.getElementById(`tab-${next}`)?.focus();
  };
  return (
    <>
      <h1>Models</h1>
      <div role="tablist" aria-label="Models">
        {TABS.map(([name, title]) => (
          <button
            key={name}
            type="button"
            role="tab"
            id={`tab-${name}`}
            aria-selected={tab === name}
            aria-controls="models-panel"
            tabindex={tab === name ? 0 : -1}
            onClick={() => setQuery({ ...CLEARED, tab: name })}
            onKeyDown={(event) => {
              const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
              if (by) step(by);
            }}
          >
            {title}
          </button>
        ))}
      </div>
      <div role="tabpanel" id="models-panel" aria-labelledby={`tab-${tab}`}>
        {tab === "probes" && <Probes query={place.query} />}
        {tab === "prompts" && <PromptSets query={place.query} />}
        {tab === "calibrations" && <Calibrations query={place.query} />}
        {tab === "train" && <Train query={place.query} />}
      </div>
    </>
  );
}
