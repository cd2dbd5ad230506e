// Search: what is asked in a tray, the hits below, one of them beside the question.
import { useEffect, useRef, useState } from "preact/hooks";
import { Problem, useLoad } from "../../http";
import { onHandOver, takeOver } from "../../handover";
import { count, plural } from "../../format";
import { href, setQuery } from "../../router";
import { announce } from "../../parts/announce";
import { AsData } from "../../parts/as_data";
import { SelectionBar } from "../../parts/selection_bar";
import { Empty, Failed, Skeleton } from "../../parts/states";
import { useKnown } from "../../session";
import type { PageProps } from "../../shell/pages";
import { Beside } from "./beside";
import { commandOf, isAsked, like, questionOf, search, type Answer, type FoundHit, type Question } from "./question";
import { Results } from "./results";
import { Tray } from "./tray";

const MOST_SHOWN = 192;

export default function Page({ place }: PageProps) {
  const question = questionOf(place.query);
  const [files, hold] = useState<File[]>(() => takeOver());
  useEffect(() => onHandOver(() => hold(takeOver())), []);
  const { info, informed } = useKnown();
  const bare = info?.index.images === 0; // there is nothing to search in, which the service would refuse
  const asked = isAsked(question, files.length);
  const key = asked && informed && !bare ? asKey(question, files) : null;
  const first = useLoad(key, (signal) => search(question, files, null, signal));
  const answer = first.state === "ready" ? first.value : undefined;
  const pages = useMore(key, question, files, answer);
  const [selected, choose] = useState<ReadonlySet<number>>(new Set());
  useEffect(() => {
    choose(new Set());
    if (answer) announce(answer.hits.length ? `${plural(answer.hits.length, "hit")}${answer.cursor ? " and more" : ""}` : "Nothing found");
  }, [answer]);
  const select = (image: number) => choose((now) => toggled(now, image));
  const chosen = Number(place.query.get("hit")) || null;
  const beside = pages.hits.find((one) => one.image_id === chosen) ?? null;
  return (
    <div class="search-page">
      <div class="row spread">
        <h1>Search</h1>
        {asked && !files.length && <AsData command={commandOf(question)} />}
      </div>
      {!asked && <HowToAsk />}
      {asked && (
        <>
          <Tray question={question} files={files} dropFile={(file) => hold(files.filter((one) => one !== file))} level={answer?.level ?? null} />
          {bare && <NothingYet />}
          {first.state === "loading" && !bare && <Skeleton rows={8} kind="tile" />}
          {first.state === "error" && <Failed problem={first.problem} retry={first.retry} />}
          {answer && (
            <>
              <Remarks answer={answer} />
              {answer.hits.length === 0 ? (
                <NothingFound question={question} />
              ) : (
                <div class={beside ? "search-split" : undefined}>
                  {beside && <Beside hit={beside} answer={answer} question={question} files={files} explain={place.query.get("why") === "1"} />}
                  <Results question={question} answer={answer} hits={pages.hits} chosen={chosen} selected={selected} select={select} />
                </div>
              )}
              {pages.more && (
                <p class="row">
                  <button type="button" onClick={pages.more} disabled={pages.loading} aria-busy={pages.loading}>
                    More hits
                  </button>
                  <span class="quiet">{count(pages.hits.length)} shown</span>
                </p>
              )}
              {pages.full && <p class="quiet">{count(pages.hits.length)} hits are shown; narrow the question to see others.</p>}
              {pages.problem && <Failed problem={pages.problem} retry={pages.more ?? undefined} />}
            </>
          )}
        </>
      )}
      <SelectionBar selected={selected.size} clear={() => choose(new Set())}>
        <Chosen hits={pages.hits.filter((one) => selected.has(one.image_id))} question={question} answer={answer} />
      </SelectionBar>
    </div>
  );
}

function asKey(question: Question, files: readonly File[]): string {
  return JSON.stringify([question, files.map((one) => [one.name, one.size, one.lastModified])]);
}

function toggled(now: ReadonlySet<number>, one: number): ReadonlySet<number> {
  const next = new Set(now);
  if (!next.delete(one)) next.add(one);
  return next;
}

// The first page and those after it, as far as the screen holds tiles.
function useMore(key: string | null, question: Question, files: readonly File[], first: Answer | undefined) {
  const [after, add] = useState<Answer[]>([]);
  const [loading, wait] = useState(false);
  const [problem, tell] = useState<Problem | null>(null);
  const current = useRef(key);
  current.current = key;
  useEffect(() => {
    add([]);
    tell(null);
    wait(false);
  }, [key]);
  const hits: FoundHit[] = [...(first?.hits ?? []), ...after.flatMap((one) => one.hits)];
  const last = after[after.length - 1] ?? first;
  const full = hits.length >= MOST_SHOWN;
  const more = async () => {
    wait(true);
    tell(null);
    try {
      const next = await search(question, files, last!.cursor);
      if (current.current !== key) return;
      add((pages) => [...pages, next]);
      announce(`${plural(next.hits.length, "more hit")}`);
    } catch (error) {
      if (current.current === key) tell(error as Problem);
    } finally {
      if (current.current === key) wait(false);
    }
  };
  return { hits, loading, problem, full: full && Boolean(last?.cursor), more: last?.cursor && !full ? more : null };
}

function Remarks({ answer }: { answer: Answer }) {
  const found = [
    answer.in_scope === false ? "What is asked is like nothing in this archive: the hits are the least unlike." : "",
    ...(answer.warnings ?? []),
  ].filter(Boolean);
  return (
    <>
      {found.map((one) => (
        <p key={one} class="note">
          {one}
        </p>
      ))}
    </>
  );
}

function NothingFound({ question }: { question: Question }) {
  const reasons = [
    ...question.where.map((one): [string, string, () => void] => [one, `the filter ${one}`, () => setQuery({ where: question.where.filter((each) => each !== one) })]),
    ...(question.same ? [] : [["same", "leaving out the same patient", () => setQuery({ same: "1" })] as [string, string, () => void]]),
  ];
  return (
    <Empty title="Nothing found">
      <p>No picture of another patient is left to compare with. What may have removed all:</p>
      <ul class="plain">
        {reasons.map(([key, what, drop]) => (
          <li key={key} class="row">
            {what}
            <button type="button" onClick={drop}>
              Search without it
            </button>
          </li>
        ))}
      </ul>
    </Empty>
  );
}

function NothingYet() {
  const { refresh } = useKnown();
  return (
    <Empty title="There is no picture to search in yet">
      <p>Pictures are found here once their files were ingested.</p>
      <p class="row">
        <a class="button" href={href("ingest")}>
          Ingest files
        </a>
        <button type="button" onClick={refresh}>
          Look again
        </button>
      </p>
    </Empty>
  );
}

function HowToAsk() {
  return (
    <Empty title="What are you looking for?">
      <ul>
        <li>
          Type words into the field above (<kbd>/</kbd>): <a href={href("search", "", { text: "left pleural effusion" })}>left pleural effusion</a>
        </li>
        <li>Drop a picture or a DICOM file anywhere on this page.</li>
        <li>
          Open a <a href={href("cases")}>case</a> and ask for similar ones (<kbd>s</kbd>).
        </li>
      </ul>
    </Empty>
  );
}

function Chosen({ hits, question, answer }: { hits: readonly FoundHit[]; question: Question; answer: Answer | undefined }) {
  const studies = [...new Set(hits.map((one) => one.study_instance_uid))];
  const examples = answer?.level === "study" ? studies : hits.map((one) => String(one.image_id));
  const add = (way: "more" | "less") => {
    const fresh = examples.filter((one) => !question[way].includes(one));
    if (fresh.length === 1) like(question, fresh[0]!, way);
    else setQuery({ [way]: [...question[way], ...fresh], hit: null });
  };
  return (
    <>
      <button type="button" onClick={() => add("more")}>
        More like {examples.length} selected
      </button>
      <button type="button" onClick={() => add("less")}>
        Less like {examples.length} selected
      </button>
      <a class="button" href={href("cases", "", { where: `study_instance_uid=${studies.join("|")}` })}>
        Show {plural(studies.length, "case")}
      </a>
    </>
  );
}
