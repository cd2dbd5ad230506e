// Models: what prompts and probes are worth here, their calibrations, and probes of the archive's own labels.
import type { PageProps } from "../../shell/pages";
import { Tabs } from "../../parts/tabs";
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
  return (
    <>
      <h1>Models</h1>
      <Tabs of="Models" tabs={TABS} shown={tab} open={(name) => setQuery({ ...CLEARED, tab: name })}>
        {tab === "probes" && <Probes query={place.query} />}
        {tab === "prompts" && <PromptSets query={place.query} />}
        {tab === "calibrations" && <Calibrations query={place.query} />}
        {tab === "train" && <Train query={place.query} />}
      </Tabs>
    </>
  );
}
