// Studies that a PACS holds, what of them is here, and which are brought in.
import { useEffect, useState } from "preact/hooks";
import { count, shortUid } from "../../format";
import { Copy } from "../../parts/copy";
import { SelectionBar } from "../../parts/selection_bar";
import { Table, type Column } from "../../parts/table";
import { href } from "../../router";
import { dicomDate, PRESENCE, type FoundStudy } from "./pacs";
import { Sign } from "./sign";

export interface ResultsProps {
  studies: readonly FoundStudy[];
  bring: (uids: readonly string[]) => void;
  busy: boolean;
  /** Whether a case here is found by the UID that the PACS gives. */
  opens: boolean;
}

export function Results({ studies, bring, busy, opens }: ResultsProps) {
  const [chosen, choose] = useState<ReadonlySet<string>>(new Set());
  useEffect(() => choose(new Set()), [studies]);
  const open = studies.flatMap((one) => (one.study_instance_uid && one.here !== "all" ? [one.study_instance_uid] : []));
  const turn = (uid: string) =>
    choose((now) => {
      const next = new Set(now);
      if (!next.delete(uid)) next.add(uid);
      return next;
    });
  const all = open.length > 0 && open.every((uid) => chosen.has(uid));
  return (
    <>
      {open.length > 1 && (
        <p class="row">
          <label>
            <input type="checkbox" checked={all} onChange={() => choose(all ? new Set() : new Set(open))} /> All {count(open.length)} that are
            not here, or here in part
          </label>
        </p>
      )}
      <Table caption="Studies of the PACS" rows={studies} rowKey={(one) => one.study_instance_uid ?? JSON.stringify(one)} columns={columns({ studies, bring, busy, opens }, chosen, turn)} />
      <SelectionBar selected={chosen.size} clear={() => choose(new Set())} of={["study", "studies"]}>
        <button type="button" class="primary" disabled={busy} onClick={() => bring([...chosen])}>
          Bring in {count(chosen.size)}
        </button>
      </SelectionBar>
    </>
  );
}

function columns({ studies, bring, busy, opens }: ResultsProps, chosen: ReadonlySet<string>, turn: (uid: string) => void): Column<FoundStudy>[] {
  const accession = studies.some((one) => one.accession_number);
  return [
    {
      name: "select",
      title: "Select",
      show: (one) =>
        one.study_instance_uid && (
          <input type="checkbox" checked={chosen.has(one.study_instance_uid)} onChange={() => turn(one.study_instance_uid!)} aria-label={`Select ${named(one)}`} />
        ),
    },
    { name: "here", title: "Here", show: (one) => <Here one={one} opens={opens} /> },
    {
      name: "bring",
      title: "Bring in",
      show: (one) =>
        one.study_instance_uid && (
          <button type="button" disabled={busy} onClick={() => bring([one.study_instance_uid!])}>
            {one.here === "no" ? "Bring in" : "Bring in again"}
            <span class="unseen"> {named(one)}</span>
          </button>
        ),
    },
    { name: "date", title: "Study date", show: (one) => dicomDate(one.study_date) },
    { name: "patient", title: "Patient", show: (one) => <Patient one={one} /> },
    ...(accession ? [{ name: "accession", title: "Accession number", show: (one: FoundStudy) => one.accession_number || "–" }] : []),
    { name: "modalities", title: "Modalities", show: (one) => one.modalities?.join(", ") || "–" },
    { name: "description", title: "Description", show: (one) => one.study_description || "–" },
    { name: "series", title: "Series", number: true, show: (one) => number(one.series) },
    { name: "instances", title: "Instances", number: true, show: (one) => number(one.instances) },
    { name: "uid", title: "UID", show: (one) => <Uid uid={one.study_instance_uid} /> },
  ];
}

const number = (n: number | null | undefined): string => (n === null || n === undefined ? "–" : count(n));

// What a screen reader hears of a study: nothing that names a person, so that it is the same in every archive.
const named = (one: FoundStudy): string =>
  ["the study", one.modalities?.join(" "), one.study_date ? `of ${dicomDate(one.study_date)}` : "", one.study_instance_uid ? shortUid(one.study_instance_uid) : ""].filter(Boolean).join(" ");

function Here({ one, opens }: { one: FoundStudy; opens: boolean }) {
  return (
    <>
      <Sign of={PRESENCE[one.here]} />
      {one.here !== "no" && one.study_instance_uid && opens && (
        <>
          <br />
          <a href={href("cases", one.study_instance_uid)}>
            {count(one.images)} {one.images === 1 ? "image" : "images"}
            <span class="unseen"> of {named(one)}</span>
          </a>
        </>
      )}
    </>
  );
}

function Patient({ one }: { one: FoundStudy }) {
  const names = [one.patient_name, one.patient_id].filter(Boolean).join(" · ");
  if (names) return <>{names}</>;
  return one.patient_key ? <code title={one.patient_key}>{one.patient_key.slice(0, 8)}…</code> : <>–</>;
}

function Uid({ uid }: { uid: string | null }) {
  if (!uid) return <span class="quiet">hidden</span>;
  return (
    <span class="pacs-uid">
      <code title={uid}>{shortUid(uid)}</code> <Copy text={uid} what="the StudyInstanceUID" />
    </span>
  );
}
