// Every page as data: its JSON, its CSV and the command that answers the same.
import { useState } from "preact/hooks";
import { ROOT } from "../router";
import { Copy } from "./copy";
import { Dialog } from "./dialog";

export interface AsDataProps {
  /** Path and query of the JSON below the service. */
  json?: string;
  csv?: string;
  command?: string;
}

export function AsData({ json, csv, command }: AsDataProps) {
  const [open, show] = useState(false);
  return (
    <>
      <button type="button" onClick={() => show(true)}>
        As data
      </button>
      {open && (
        <Dialog title="This page as data" close={() => show(false)}>
          {json && (
            <p>
              <a href={ROOT + json} target="_blank" rel="noreferrer">
                JSON
              </a>
              : <code>GET {json}</code> <Copy text={location.origin + ROOT + json} what="the address" />
            </p>
          )}
          {csv && (
            <p>
              <a href={ROOT + csv} download>
                CSV
              </a>
              : <code>GET {csv}</code>
            </p>
          )}
          {command && (
            <p>
              Command line: <code>{command}</code> <Copy text={command} what="the command" />
            </p>
          )}
        </Dialog>
      )}
    </>
  );
}

/** A word of a command line, quoted where a shell would read it otherwise. */
export const quoted = (word: string): string => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replace(/'/g, "'\\''")}'`);
