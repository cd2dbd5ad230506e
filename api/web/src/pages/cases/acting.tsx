// What can be done with cases: with those selected, with all that pass the filters, or with the whole archive.
import { useState } from "preact/hooks";
import { count, plural } from "../../format";
import { href, queryOf, ROOT } from "../../router";
import { may, useKnown } from "../../session";
import { CollectDialog } from "./collect";
import { TagDialog } from "./tag";

/** Cases that something is done with, and how many. */
export interface Scope {
  kind: "selected" | "filtered" | "all";
  number: number;
  capped: boolean;
  /** The UIDs of those selected; null for all that `where` asks for. */
  uids: string[] | null;
  where: string[];
}

export const scopeWords = (scope: Scope): string =>
  scope.kind === "all" ? `all ${count(scope.number, scope.capped)}` : `${count(scope.number, scope.capped)} ${scope.kind}`;

/** As many UIDs fit into an address. */
const MOST_IN_ADDRESS = 100;
/** A question may have so many parts (`studies`). */
export const MOST_ALIKE = 100;

export interface ActionsProps {
  selected: readonly string[];
  where: readonly string[];
  total: number;
  capped: boolean;
  clear: () => void;
  selectShown: () => void;
  shown: number;
  /** The dialog that is open, by name. */
  dialog: "tag" | "collect" | null;
  openDialog: (dialog: "tag" | "collect" | null) => void;
  changed: () => void;
}

export function Actions({ selected, where, total, capped, clear, selectShown, shown, dialog, openDialog, changed }: ActionsProps) {
  const { session, info } = useKnown();
  const [wanted, want] = useState<Scope["kind"]>("selected");
  const scopes: Scope[] = [
    { kind: "selected", number: selected.length, capped: false, uids: [...selected], where: [] },
    { kind: "filtered", number: total, capped, uids: null, where: [...where] },
    { kind: "all", number: Math.max(info?.index.studies ?? 0, where.length ? 0 : total), capped: !where.length && capped, uids: null, where: [] },
  ];
  const usable = scopes.filter((one) => (one.kind === "selected" ? selected.length > 0 : one.kind === "all" || where.length > 0));
  const scope = usable.find((one) => one.kind === wanted) ?? usable[0]!;
  const write = may(session, "write");
  const words = scopeWords(scope);
  const alike = scope.uids && scope.uids.length <= MOST_ALIKE ? scope.uids : null;
  return (
    <section class="selection-bar acting" aria-label="Actions">
      <fieldset class="scopes">
        <legend class="unseen">What the actions are for</legend>
        {usable.map((one) => (
          <label key={one.kind}>
            <input type="radio" name="scope" checked={one === scope} onChange={() => want(one.kind)} /> {scopeWords(one)}
          </label>
        ))}
      </fieldset>
      <button type="button" disabled={!write || !scope.number} title={write ? "Key t" : "Your key lacks the scope write"} onClick={() => openDialog("tag")}>
        Tag {words}
      </button>
      <button
        type="button"
        disabled={!write || !scope.number}
        title={write ? undefined : "Your key lacks the scope write"}
        onClick={() => openDialog("collect")}
      >
        Collect {words}
      </button>
      <Export scope={scope} />
      {alike && alike.length > 0 && (
        <a class="button" href={href("search", "", { study: alike })}>
          Similar to {words}
        </a>
      )}
      {scope.uids?.length === 1 && (
        <a class="button" href={href("cases", scope.uids[0]!)}>
          Open in the viewer
        </a>
      )}
      <button type="button" onClick={selectShown} disabled={!shown || shown === selected.length}>
        Select the {count(shown)} listed
      </button>
      {selected.length > 0 && (
        <button type="button" onClick={clear}>
          Clear
        </button>
      )}
      {dialog === "tag" && <TagDialog scope={scope} close={() => openDialog(null)} changed={changed} />}
      {dialog === "collect" && <CollectDialog scope={scope} close={() => openDialog(null)} changed={changed} />}
    </section>
  );
}

function Export({ scope }: { scope: Scope }) {
  const words = scopeWords(scope);
  if (scope.uids && scope.uids.length > MOST_IN_ADDRESS)
    return (
      <button type="button" disabled title={`Put them into a collection and export that: at most ${plural(MOST_IN_ADDRESS, "case")} are exported by selection`}>
        Export {words}
      </button>
    );
  const where = scope.uids ? [`study_instance_uid=${scope.uids.join("|")}`] : scope.where;
  const address = (format: string) => `${ROOT}/v1/cases/export?${queryOf({ where, format })}`;
  if (!scope.number)
    return (
      <button type="button" disabled>
        Export {words}
      </button>
    );
  return (
    <>
      <a class="button" href={address("csv")} download="cases.csv">
        Export {words} as CSV
      </a>
      <a class="button" href={address("parquet")} download="cases.parquet" aria-label={`Export ${words} as Parquet`}>
        Parquet
      </a>
    </>
  );
}
