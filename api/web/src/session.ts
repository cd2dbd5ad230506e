// Who is signed in, and what the model is: known to every part of the screen.
import { createContext } from "preact";
import { useContext } from "preact/hooks";
import type { Problem } from "./http";
import type { Info, Session } from "./types";

export interface Known {
  session: Session;
  info: Info | null;
  /** Whether what the service is was answered, or could not be. */
  informed: boolean;
  /** Why it could not be: the model may be gone, or another than the archive's. */
  lack: Problem | null;
  /** Ask for both anew. */
  refresh: () => void;
  signOut: () => void;
}

export const KnownContext = createContext<Known | null>(null);

export function useKnown(): Known {
  const found = useContext(KnownContext);
  if (!found) throw new Error("nobody is signed in");
  return found;
}

/** Whether the session may do what a scope allows; `admin` includes all. */
export const may = (session: Session, scope: string): boolean =>
  session.scopes.includes(scope) || session.scopes.includes("admin");
