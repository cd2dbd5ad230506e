// A state as an icon, a word and a colour.
import { Icon, type IconName } from "../../parts/icon";
import type { Failure } from "./pacs";

export function Sign({ of }: { of: readonly [icon: IconName, word: string, tone: string] | undefined }) {
  const [icon, word, tone] = of ?? (["question", "unknown", "quiet"] as const);
  return (
    <span class={`pacs-sign tone-${tone}`}>
      <Icon name={icon} /> {word}
    </span>
  );
}

/** Why something failed: the sentence of the service, and the code that an administrator asks for. */
export function Why({ failure }: { failure: Failure | null | undefined }) {
  if (!failure) return null;
  return (
    <span>
      {failure.message} <code>{failure.code}</code>
    </span>
  );
}
