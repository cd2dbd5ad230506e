// A case: its series and slices, what the model finds, and, when asked for, what else there is.
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { get, useLoad } from "../../http";
import { age, date, plural, shortUid } from "../../format";
import { useKeys } from "../../keys";
import { back, href, navigate, ROOT, setQuery } from "../../router";
import { may, useKnown } from "../../session";
import { AsData } from "../../parts/as_data";
import { Copy } from "../../parts/copy";
import { LookInPacs } from "../../parts/look_in_pacs";
import { Empty, ListState, Skeleton } from "../../parts/states";
import type { PageProps } from "../../shell/pages";
import type { Info } from "../../types";
import { framesOf } from "../../viewer/series";
import { ask, askable, usual } from "./asked";
import { FilesGone } from "./fetching";
import { Findings } from "./findings";
import { Drafts, GiveLabel, Labels, OtherStudies, Panel, SeenBy } from "./panels";
import { SeriesStrip } from "./series_strip";
import { SimilarCases } from "./similar";
import { SliceStrip } from "./slice_strip";
import { Stage } from "./stage";
import { isDicom, isWithheld, isWithoutFiles, slicesOf, type Study } from "./study";

export default function Page({ place }: PageProps) {
  const found = useLoad(place.rest, (signal) => get<Study>(`/v1/studies/${encodeURIComponent(place.rest)}`, {}, signal));
  return (
    <>
      {(found.state === "error" || found.value === undefined) && <h1 class="unseen">Case</h1>}
      <ListState of={found} skeleton={<Skeleton rows={3} kind="block" />}>
        {(study) => <CaseView key={`${study.study_instance_uid} ${study.files}`} study={study} query={place.query} reload={found.retry} />}
      </ListState>
      {found.state === "error" && found.problem.status === 404 && (
        <p class="row">
          <LookInPacs text={place.rest} />
        </p>
      )}
    </>
  );
}

function CaseView({ study, query, reload }: { study: Study; query: URLSearchParams; reload: () => void }) {
  const { session, info } = useKnown();
  const [labelled, labelAgain] = useState(0);
  const uid = study.study_instance_uid;
  const asked = Number(query.get("image")) || null;
  const series = seriesOf(study, query.get("series"), asked);
  const suited = useLoad(query.get("ask") === null ? "askable" : null, askable);
  const modalities = study.series.map((one) => one.modality ?? "");
  const question = query.get("ask") ?? (suited.state === "ready" && info ? usual(suited.value, modalities, info.demonstration) : null);
  const scores = useLoad(question && study.images.length ? `${uid} ${question}` : null, (signal) => ask(uid, question!, signal));
  const answer = scores.state === "ready" ? scores.value : undefined;
  const label = query.get("label") ?? (answer?.scores.find((one) => one.fits !== false) ?? answer?.scores[0])?.label ?? null;
  useKeys({
    s: () => navigate(href("search", "", { study: uid })),
    "+": () => navigate(href("search", "", { more: uid })),
    "-": () => navigate(href("search", "", { study: uid, less: uid })),
    t: () => {
      setQuery({ labels: "1" }, { replace: true });
      setTimeout(() => document.getElementById("tag")?.focus(), 50);
    },
    Escape: () => back(href("cases")),
  });
  if (!series) {
    return (
      <Empty title="This study has no picture" level="h1">
        <p>Its files were removed from the index; ingest them again.</p>
      </Empty>
    );
  }
  return (
    <div class="case-page">
      <Header study={study} viewers={links(info)} />
      <FilesGone study={study} fetched={reload} />
      <div class="case-columns">
        <SeriesStrip study={study} chosen={series.series_instance_uid} />
        <Looking key={series.series_instance_uid} study={study} series={series} query={query} asked={asked} label={label} answer={answer} />
        <div class="case-side">
          <Findings question={question} scores={scores} label={label} toImage={(image) => setQuery({ image, slice: null, series: null }, { replace: true })} />
          <Panel name="similar" title="Similar cases" open={query.get("similar") === "1"}>
            <SimilarCases study={study} />
          </Panel>
          <Panel name="others" title="Other studies of the patient" open={query.get("others") === "1"}>
            <OtherStudies study={study} />
          </Panel>
          <Panel name="labels" title="Labels" open={query.get("labels") === "1"}>
            <Labels study={study} version={labelled} />
            <GiveLabel study={study} given={() => labelAgain(labelled + 1)} />
          </Panel>
          <Panel name="drafts" title="Drafts" open={query.get("drafts") === "1"}>
            <Drafts study={study} />
          </Panel>
          {may(session, "admin") && (
            <Panel name="seen" title="Who has seen it" open={query.get("seen") === "1"}>
              <SeenBy study={study} />
            </Panel>
          )}
        </div>
      </div>
    </div>
  );
}

interface LookingProps {
  study: Study;
  series: Study["series"][number];
  query: URLSearchParams;
  asked: number | null;
  label: string | null;
  answer: Awaited<ReturnType<typeof ask>> | undefined;
}

// The picture and the slices of one series.
function Looking({ study, series, query, asked, label, answer }: LookingProps) {
  const uid = series.series_instance_uid;
  const { session, info, informed } = useKnown();
  const [unveiled, unveil] = useState(false);
  const images = study.images.filter((one) => one.series_instance_uid === uid);
  const veiled = images.some(isWithheld) && !unveiled;
  const gone = isWithoutFiles(study, info?.phi);
  const unknown = study.files === "gone" && !informed;
  const can = isDicom(images) && !veiled && !gone && !unknown;
  const dicom = useLoad(can ? `${uid} ${unveiled}` : null, (signal) => framesOf(study.study_instance_uid, uid, unveiled, signal));
  const lack = dicom.state === "error" ? dicom.problem : null;
  const frames = dicom.state === "ready" && dicom.value.length ? dicom.value : null;
  const slices = useMemo(() => slicesOf(study, uid, frames), [study, uid, frames]);
  const at = indexOf(slices, query.get("slice"), asked);
  const [index, show] = useState(at);
  useEffect(() => show(at), [at, slices.length]);
  const later = useRef(0);
  const go = (next: number) => {
    show(next);
    clearTimeout(later.current);
    // The address follows when the hand rests: browsers bound how often it may change.
    later.current = window.setTimeout(() => setQuery({ slice: next + 1, image: null, series: uid }, { replace: true }), 300);
  };
  useEffect(() => () => clearTimeout(later.current), []);
  const by = label ? answer?.by_image?.probability[label] : undefined;
  const scores = useMemo(() => {
    if (!by || !answer?.by_image) return null;
    const known = new Map(answer.by_image.image_ids.map((id, place) => [id, by[place] ?? null]));
    return slices.map((one) => (one.image ? (known.get(one.image.image_id) ?? null) : null));
  }, [by, slices]);
  const driver = answer?.scores.find((one) => one.label === label)?.driving?.image_id ?? null;
  const driving = driver === null ? -1 : slices.findIndex((one) => one.image?.image_id === driver);
  const shown = Math.min(index, slices.length - 1);
  if (unknown || (can && dicom.state === "loading")) return <div class="looking"><Skeleton rows={1} kind="block" /></div>;
  return (
    <div class="looking">
      {veiled && may(session, "admin") && (
        <p class="row note">
          Pictures of this series may bear the patient's name.
          <button type="button" onClick={() => unveil(true)}>
            Show them; the audit trail records that
          </button>
        </p>
      )}
      <Stage
        series={series}
        slices={slices}
        frames={frames}
        plain={!isDicom(images)}
        lack={lack}
        gone={gone}
        index={shown}
        go={go}
        as={query.get("as") === "model" ? "model" : "dicom"}
        unveiled={unveiled}
      />
      <SliceStrip count={slices.length} index={shown} go={go} scores={scores} label={label} driving={driving < 0 ? null : driving} />
      {slices[shown]?.image?.warnings.map((one) => (
        <p key={one} class="quiet">
          {one}
        </p>
      ))}
    </div>
  );
}

function seriesOf(study: Study, named: string | null, image: number | null) {
  const of = study.images.find((one) => one.image_id === image)?.series_instance_uid;
  const wanted = named ?? of;
  return study.series.find((one) => one.series_instance_uid === wanted) ?? [...study.series].sort((a, b) => b.images - a.images)[0];
}

// The slice that the address names, by number or by image; else the middle.
function indexOf(slices: ReturnType<typeof slicesOf>, slice: string | null, image: number | null): number {
  const number = Number(slice);
  if (Number.isInteger(number) && number >= 1 && number <= slices.length) return number - 1;
  const found = image === null ? -1 : slices.findIndex((one) => one.image?.image_id === image);
  return found >= 0 ? found : Math.floor(slices.length / 2);
}

interface ViewerLink {
  name: string;
  url: string;
}

function links(info: Info | null): ViewerLink[] {
  return info?.viewers ?? [];
}

function Header({ study, viewers }: { study: Study; viewers: readonly ViewerLink[] }) {
  const uid = study.study_instance_uid;
  const modalities = [...new Set(study.series.map((one) => one.modality).filter(Boolean))].join(", ");
  return (
    <header class="case-header">
      <div>
        <h1>{study.study_description || modalities || "Case"}</h1>
        <p class="row quiet">
          <span>{modalities}</span>
          <span>{date(study.study_date)}</span>
          <span>{[age(study.patient_age), study.patient_sex].filter(Boolean).join(", ")}</span>
          <span>
            {plural(study.series.length, "series", "series")}, {plural(study.images.length, "image")}
          </span>
          <span>
            <code title={uid}>{shortUid(uid)}</code> <Copy text={uid} what="the StudyInstanceUID" />
          </span>
          <span>
            patient <code>{study.patient_key.slice(0, 8)}…</code> <Copy text={study.patient_key} what="the patient key" />
          </span>
        </p>
        {study.identity && <p class="row">{Object.entries(study.identity).map(([name, value]) => <span key={name}>{name}: {value}</span>)}</p>}
      </div>
      <div class="row">
        <a class="button" href={href("search", "", { study: uid })}>
          <kbd>s</kbd> Similar cases
        </a>
        {viewers.map((one) => (
          <a key={one.name} class="button" href={addressOf(one, uid)} target="_blank" rel="noreferrer noopener">
            {one.name}
          </a>
        ))}
        <AsData json={`/v1/studies/${uid}`} command={`medsiglip study show ${uid}`} />
      </div>
    </header>
  );
}

// A link of our own begins with a slash and follows the service below the path of a proxy.
const addressOf = (viewer: ViewerLink, uid: string): string =>
  (viewer.url.startsWith("/") ? ROOT : "") + viewer.url.replaceAll("{study}", encodeURIComponent(uid));
