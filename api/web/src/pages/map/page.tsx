// The map: the archive in a plane, with what is near in truth beside it.
import { useEffect, useMemo, useState } from "preact/hooks";
import { count, moment, percent, plural } from "../../format";
import { get, useLoad } from "../../http";
import { href, setQuery } from "../../router";
import { announce } from "../../parts/announce";
import { AsData, quoted } from "../../parts/as_data";
import { Chip } from "../../parts/chip";
import { Empty, Failed, Skeleton } from "../../parts/states";
import { Thumbnail } from "../../parts/thumbnail";
import { useKnown } from "../../session";
import type { PageProps } from "../../shell/pages";
import { Legend } from "./legend";
import { DuplicateList, Neighbours, OutlierList, PointTable } from "./lists";
import { Making } from "./making";
import { fieldTitle, LEVELS, loadColours, loadPoints, type Level, type MapInfo, type MapPlace } from "./points";
import { Selection } from "./selection";
import { Stage } from "./stage";

const TABS = { near: "Nearest", outliers: "Outliers", duplicates: "Near-duplicates", table: "Table" } as const;
type Tab = keyof typeof TABS;

export default function Page({ place }: PageProps) {
  const asked = place.query.get("level") as Level | null;
  const level: Level = asked && LEVELS.includes(asked) ? asked : "study";
  // What is there is asked first: a map that is not would be a failure on the console.
  const map = useLoad(`map ${level}`, async (signal) => {
    const { maps } = await get<{ maps: { level: Level; version: number }[] }>("/v1/map/versions", {}, signal);
    const newest = maps.find((one) => one.level === level);
    return newest ? get<MapInfo>("/v1/map", { level, version: newest.version }, signal) : null;
  });
  return (
    <div class="map-page">
      <div class="row spread">
        <h1>Map</h1>
        <div class="row">
          <label class="field">
            A point is a{" "}
            <select value={level} onChange={(event) => setQuery({ level: event.currentTarget.value, point: null })}>
              {LEVELS.map((one) => (
                <option key={one} value={one}>
                  {one}
                </option>
              ))}
            </select>
          </label>
          <AsData json={`/v1/map?level=${level}`} command={`medsiglip map show --level ${level}`} />
        </div>
      </div>
      {map.state === "error" && <Failed problem={map.problem} retry={map.retry} />}
      {map.state === "loading" && <Skeleton rows={3} kind="block" />}
      {map.state === "ready" && map.value === null && <NoMap level={level} made={map.retry} />}
      {map.state === "ready" && map.value !== null && <Shown key={`${level} ${map.value.version}`} map={map.value} query={place.query} again={map.retry} />}
    </div>
  );
}

function NoMap({ level, made }: { level: Level; made: () => void }) {
  const { info } = useKnown();
  if (info?.index.images === 0) {
    return (
      <Empty title="There is nothing to lay out yet">
        <p>A map shows what was ingested: the more pictures, the more it tells.</p>
        <a class="button" href={href("ingest")}>
          Ingest files
        </a>
      </Empty>
    );
  }
  return (
    <Empty title={`There is no map of each ${level} yet`}>
      <p>A map lays the archive out so that what looks alike lies together. It takes seconds to some minutes.</p>
      <Making level={level} made={made} again={false} />
    </Empty>
  );
}

function Shown({ map, query, again }: { map: MapInfo; query: URLSearchParams; again: () => void }) {
  const { level, version } = map;
  const usual = "modality" in map.fields ? "modality" : "neighbours_kept";
  const field = query.get("colour") ?? usual;
  const points = useLoad(`points ${level} ${version}`, (signal) => loadPoints(level, version, signal));
  const colours = useLoad(`colours ${field} ${level} ${version}`, (signal) => loadColours(field, level, version, signal));
  const image = Number(query.get("point")) || null;
  const text = query.get("text") ?? "";
  const wanted = image ? { image_id: image } : text ? { text } : null;
  const pinned = useLoad(wanted && JSON.stringify([wanted, level, version]), (signal) =>
    get<MapPlace>("/v1/map/place", { ...wanted, level, version, k: 10 }, signal),
  );
  const [chosen, choose] = useState<number[]>([]);
  const [front, bring] = useState<ReadonlySet<number>>(new Set());
  useEffect(() => bring(new Set()), [field]);
  const tab = (query.get("list") ?? "near") as Tab;
  const codes = colours.state === "ready" ? colours.value.codes : undefined;
  const marks = useMemo(() => {
    const found = new Uint8Array(points.value?.images.length ?? 0);
    if (codes && front.size) codes.forEach((code, i) => (found[i] = front.has(code) ? 0 : 2));
    for (const index of chosen) found[index] = 1;
    return found;
  }, [points.value, codes, front, chosen]);
  const select = (indices: number[]) => {
    choose(indices);
    announce(`${plural(indices.length, "point")} selected`);
  };
  const open = (one: number) => setQuery({ point: one, text: null, list: null });
  const pin = useMemo(
    () => (wanted && pinned.state === "ready" ? { place: pinned.value, title: image ? `Image ${image}` : text } : null),
    [pinned.value, pinned.state, image, text],
  );
  if (points.state === "error") return <Failed problem={points.problem} retry={points.retry} />;
  if (points.state === "loading") return <Skeleton rows={3} kind="block" />;
  const held = points.value;
  const loaded = colours.state === "ready" ? colours.value : colours.value;
  const description = `Map of ${plural(map.points, "point")}, coloured by ${fieldTitle(field)}. The same as a table: tab Table.`;
  return (
    <>
      <Worth map={map} again={again} />
      <div class="map-columns">
        <div>
          <FindText text={text} />
          <Stage
            points={held}
            colours={loaded}
            marks={marks}
            pin={pin}
            description={description}
            open={(index) => open(held.images[index]!)}
            choose={select}
          />
          {chosen.length > 0 && (
            <section class="selection-bar" aria-label="Selected points">
              <strong>{plural(chosen.length, "point")} selected</strong>
              <Selection images={chosen.map((index) => held.images[index]!)} />
              <button type="button" onClick={() => select([])}>
                Clear
              </button>
            </section>
          )}
        </div>
        <aside class="map-side" aria-label="Beside the map">
          {colours.state === "error" && <Failed problem={colours.problem} retry={colours.retry} />}
          {loaded && (
            <Legend
              colours={loaded}
              fields={map.fields}
              front={front}
              pick={(next) => setQuery({ colour: next === usual ? null : next })}
              bring={(code) => bring((now) => toggled(now, code))}
              choose={(code) => select(indicesOf(loaded.codes, code))}
            />
          )}
          <Tabs chosen={tab} />
          <div role="tabpanel" id="map-panel" aria-labelledby={`map-tab-${tab}`}>
            {tab === "near" && <Near image={image} text={text} place={pinned} open={open} />}
            {tab === "outliers" && <OutlierList level={level} version={version} open={open} />}
            {tab === "duplicates" && <DuplicateList level={level} version={version} open={open} />}
            {tab === "table" && <PointTable points={held} colours={loaded} chosen={chosen} open={open} />}
          </div>
        </aside>
      </div>
    </>
  );
}

function toggled(now: ReadonlySet<number>, one: number): ReadonlySet<number> {
  const next = new Set(now);
  if (!next.delete(one)) next.add(one);
  return next;
}

function indicesOf(codes: Uint8Array, code: number): number[] {
  const found: number[] = [];
  codes.forEach((one, i) => one === code && found.push(i));
  return found;
}

/** How far the map can be believed, and whether it is of today. */
function Worth({ map, again }: { map: MapInfo; again: () => void }) {
  return (
    <div class="map-worth">
      <p>
        {plural(map.points, "point")}
        {map.neighbours_kept !== null && (
          <>
            ; of the {map.neighbours} true neighbours of a point, <strong>{percent(map.neighbours_kept)}</strong> lie near it here, too.
            Distances between groups mean little.
          </>
        )}{" "}
        <span class="quiet">
          Version {map.version}, {map.method}, made {moment(map.created_at)}.
        </span>
      </p>
      {map.warnings.map((one) => (
        <p key={one} class="note">
          {one}
        </p>
      ))}
      {map.outdated && <Making level={map.level} made={again} again />}
    </div>
  );
}

function FindText({ text }: { text: string }) {
  const [typed, type] = useState(text);
  useEffect(() => type(text), [text]);
  return (
    <form
      class="row"
      aria-label="Pin a text on the map"
      onSubmit={(event) => {
        event.preventDefault();
        setQuery({ text: typed.trim() || null, point: null, list: null });
      }}
    >
      <label class="field map-find">
        Where is <input type="search" value={typed} maxLength={1000} placeholder="pleural effusion" onInput={(event) => type(event.currentTarget.value)} />
      </label>
      <button type="submit">Pin on the map</button>
      {text && (
        <Chip name="the pin" remove={() => setQuery({ text: null })}>
          {text}
        </Chip>
      )}
    </form>
  );
}

function Tabs({ chosen }: { chosen: Tab }) {
  const names = Object.keys(TABS) as Tab[];
  const step = (event: KeyboardEvent) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!by) return;
    event.preventDefault();
    const next = names[(names.indexOf(chosen) + by + names.length) % names.length]!;
    setQuery({ list: next === "near" ? null : next });
    document.getElementById(`map-tab-${next}`)?.focus();
  };
  return (
    <div class="row map-tabs" role="tablist" aria-label="Lists" onKeyDown={step}>
      {names.map((one) => (
        <button
          key={one}
          id={`map-tab-${one}`}
          type="button"
          role="tab"
          aria-selected={one === chosen}
          aria-controls="map-panel"
          tabindex={one === chosen ? 0 : -1}
          onClick={() => setQuery({ list: one === "near" ? null : one })}
        >
          {TABS[one]}
        </button>
      ))}
    </div>
  );
}

interface NearProps {
  image: number | null;
  text: string;
  place: ReturnType<typeof useLoad<MapPlace>>;
  open: (image: number) => void;
}

function Near({ image, text, place, open }: NearProps) {
  if (!image && !text) return <p class="quiet">Open a point, or pin a text: its true neighbours are drawn as lines and listed here.</p>;
  if (place.state === "error") return <Failed problem={place.problem} retry={place.retry} />;
  if (place.state === "loading") return <Skeleton rows={4} />;
  const study = place.value.study_instance_uid;
  return (
    <>
      {image && (
        <div class="map-own">
          <span class="map-picture large">
            <Thumbnail image={image} alt="" />
          </span>
          <div>
            <h2>Image {count(image)}</h2>
            {study && (
              <p class="row">
                <a class="button" href={href("cases", study)}>
                  Open the case
                </a>
                <a class="button" href={href("search", "", { image })}>
                  Similar cases
                </a>
              </p>
            )}
            {place.value.x === null && <p class="note">This image is not on the map; make it again to see it.</p>}
            <button type="button" onClick={() => setQuery({ point: null })}>
              Close
            </button>
          </div>
        </div>
      )}
      {!image && <h2>“{text}”</h2>}
      {!image && <p class="quiet small">As a command: medsiglip map place {quoted(text)}</p>}
      <Neighbours place={place.value} open={open} />
    </>
  );
}
