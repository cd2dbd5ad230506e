// Verdicts of sentences as icon, word and colour.
import { Icon } from "../../parts/icon";
import { SIGNS, VERDICTS, type Verdict } from "./report";

export function SentenceSign({ verdict }: { verdict: Verdict }) {
  const { icon, word, means } = SIGNS[verdict];
  return (
    <span class={`sign sign-${verdict}`} title={means}>
      <Icon name={icon} /> {word}
    </span>
  );
}

/** How many checks have which verdict. */
export function Counts({ of }: { of: Partial<Record<Verdict, number>> }) {
  const found = VERDICTS.filter((one) => of[one]);
  if (!found.length) return <span class="quiet">not checked</span>;
  return (
    <span class="sign-counts">
      {found.map((one) => (
        <span key={one} class={`sign sign-${one}`} title={SIGNS[one].means}>
          <Icon name={SIGNS[one].icon} /> {of[one]} {SIGNS[one].word}
        </span>
      ))}
    </span>
  );
}
