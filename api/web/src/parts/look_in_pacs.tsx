// For a text that looks like an ID or a UID: a way to look for it in a PACS, where there is one.
import { useEffect, useState } from "preact/hooks";
import { get } from "../http";
import { lookFor, looksLikeId, looksLikeUid, onForgetting, questionOfText } from "../pacs_question";
import { href, navigate } from "../router";
import { may, useKnown } from "../session";
import type { Session } from "../types";
import { Icon } from "./icon";

// Asked for once, when a text first looks like an ID: most people never do.
let known: Promise<string | null> | null = null;
export const forgetConnections = (): void => {
  known = null;
};
onForgetting(forgetConnections);

const firstConnection = (): Promise<string | null> =>
  (known ??= get<{ connections: { name: string }[] }>("/v1/pacs").then(
    (answer) => answer.connections[0]?.name ?? null,
    () => {
      forgetConnections(); // asked for again with the next text
      return null;
    },
  ));

/** Whether a text can be looked for in a PACS by who is signed in. */
const fitsPacs = (session: Session, words: string): boolean => may(session, "write") && (looksLikeUid(words) || looksLikeId(words));

/** Ask the PACS for a text, where there is one; says whether. */
export async function lookInPacs(session: Session, words: string): Promise<boolean> {
  const connection = fitsPacs(session, words) ? await firstConnection() : null;
  if (connection !== null) ask(words, connection);
  return connection !== null;
}

function ask(words: string, connection: string): void {
  lookFor(questionOfText(words));
  navigate(href("pacs", "", { tab: "find", connection }));
}

export function LookInPacs({ text }: { text: string }) {
  const { session } = useKnown();
  const words = text.trim();
  const fits = fitsPacs(session, words);
  const [connection, found] = useState<string | null>(null);
  useEffect(() => {
    let left = false;
    if (fits) void firstConnection().then((name) => left || found(name));
    return () => {
      left = true;
    };
  }, [fits]);
  if (!fits || connection === null) return null;
  return (
    <button type="button" onClick={() => ask(words, connection)}>
      <Icon name="pacs" /> Look in the PACS
    </button>
  );
}
