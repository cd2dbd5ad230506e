// A question to a PACS, what it holds that fits, and bringing that in.
import { useEffect, useRef, useState } from "preact/hooks";
import { plural } from "../../format";
import { post, Problem } from "../../http";
import { NOTHING_ASKED, onForgetting, type PacsQuestion } from "../../pacs_question";
import { setQuery } from "../../router";
import { useKnown } from "../../session";
import { announce } from "../../parts/announce";
import { Empty, Failed, Skeleton } from "../../parts/states";
import { jobStarted } from "../../shell/job_bell";
import type { Job } from "../../types";
import { Bringing } from "./bringing";
import { pathOf, type FoundStudies } from "./pacs";
import { QuestionForm } from "./question_form";
import { Results } from "./results";

const LIMIT = 200;

interface Asked {
  connection: string;
  question: PacsQuestion;
  found: FoundStudies;
}

// What was asked and found, while another page is looked at. It may name patients: it is nowhere but here.
let last: Asked | null = null;
let typed: PacsQuestion = NOTHING_ASKED;
let handedLast: PacsQuestion | null = null;
onForgetting(() => {
  last = null;
  typed = NOTHING_ASKED;
  handedLast = null;
});

interface FindProps {
  connection: string;
  job: string | null;
  /** A question that was typed elsewhere: it is asked at once. */
  handed: PacsQuestion | null;
}

export function Find({ connection, job, handed }: FindProps) {
  const remembered = last?.connection === connection ? last : null;
  const [question, keep] = useState<PacsQuestion>(typed);
  const write = (next: PacsQuestion) => {
    typed = next;
    keep(next);
  };
  const [asked, show] = useState<Asked | null>(remembered);
  const [problem, tell] = useState<Problem | null>(null);
  const [busy, wait] = useState(false);
  const stop = useRef<AbortController | null>(null);
  useEffect(() => () => stop.current?.abort(), []);
  const ask = (wanted: PacsQuestion, quietly = false) => {
    stop.current?.abort();
    const own = (stop.current = new AbortController());
    tell(null);
    if (!quietly) {
      show(null);
      wait(true);
    }
    post<FoundStudies>(pathOf(connection, "/find"), { ...given(wanted), limit: LIMIT }, own.signal)
      .then(
        (found) => {
          last = { connection, question: wanted, found };
          show(last);
          if (!quietly) announce(found.studies.length ? `${plural(found.studies.length, "study", "studies", found.truncated)} found` : "The PACS holds no such study");
        },
        (error: unknown) => error instanceof Problem && tell(error),
      )
      .finally(() => own.signal.aborted || wait(false));
  };
  const clear = () => {
    stop.current?.abort();
    last = null;
    write(NOTHING_ASKED);
    show(null);
    tell(null);
    wait(false);
  };
  useEffect(() => {
    if (handed === null || handed === handedLast) return;
    handedLast = handed;
    write(handed);
    ask(handed);
  }, [handed]);
  return (
    <div class="pacs">
      <QuestionForm question={question} write={write} busy={busy} ask={() => ask(question)} clear={clear} />
      {job && <Bringing key={job} id={job} ended={() => asked && ask(asked.question, true)} />}
      {busy && <Skeleton rows={5} />}
      {problem && <Failed problem={problem} retry={() => ask(question)} />}
      {asked && !busy && <Answer asked={asked} connection={connection} again={ask} write={write} />}
    </div>
  );
}

/** The fields that say something. */
function given(question: PacsQuestion): Partial<PacsQuestion> {
  return Object.fromEntries(Object.entries(question).flatMap(([name, value]) => (value.trim() ? [[name, value.trim()]] : [])));
}

interface AnswerProps {
  asked: Asked;
  connection: string;
  again: (question: PacsQuestion) => void;
  write: (question: PacsQuestion) => void;
}

function Answer({ asked, connection, again, write }: AnswerProps) {
  const { info } = useKnown();
  const [problem, tell] = useState<Problem | null>(null);
  const [busy, wait] = useState(false);
  const { studies, truncated } = asked.found;
  const bring = (uids: readonly string[]) => {
    wait(true);
    tell(null);
    post<Job>(pathOf(connection, "/pull"), { study_instance_uids: uids })
      .then(
        (job) => {
          announce(`${plural(uids.length, "study is", "studies are")} being brought in`);
          jobStarted();
          setQuery({ job: job.id });
        },
        (error: unknown) => error instanceof Problem && tell(error),
      )
      .finally(() => wait(false));
  };
  if (!studies.length) return <NothingFound asked={asked.question} again={again} write={write} />;
  return (
    <section aria-label="What the PACS answered">
      <h2>{plural(studies.length, "study", "studies", truncated)}</h2>
      {truncated && <p class="quiet">The PACS holds more that fit: narrow the question to see them.</p>}
      {info?.phi === "strict" && (
        <p class="quiet">
          This archive keeps UIDs of its own: what is here cannot be opened from this list, and who is no administrator brings in nothing from it.
        </p>
      )}
      {problem && <Failed problem={problem} />}
      <Results studies={studies} bring={bring} busy={busy} opens={info?.phi !== "strict"} />
    </section>
  );
}

function NothingFound({ asked, again, write }: { asked: PacsQuestion; again: (question: PacsQuestion) => void; write: (question: PacsQuestion) => void }) {
  const id = asked.patient_id.trim();
  const other = { ...NOTHING_ASKED, accession_number: id };
  return (
    <Empty title="The PACS holds no such study">
      <p>A PACS compares IDs and UIDs as they are; in names and descriptions, * stands for any characters.</p>
      {id && !asked.accession_number && (
        <button
          type="button"
          onClick={() => {
            write(other);
            again(other);
          }}
        >
          Look for it as an accession number
        </button>
      )}
    </Empty>
  );
}
