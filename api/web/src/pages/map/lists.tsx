// What is near in truth, what stands alone, what stands twice, and every point: as lists with pictures, and tables.
import { useState } from "preact/hooks";
import { count, figure, percent, plural, shortUid } from "../../format";
import { get, useLoad } from "../../http";
import { href } from "../../router";
import { ListState } from "../../parts/states";
import { Table } from "../../parts/table";
import { Thumbnail } from "../../parts/thumbnail";
import type { Colours, Duplicates, Level, MapPlace, Outliers, Points } from "./points";
import { UNKNOWN } from "./points";

interface Of {
  level: Level;
  version: number;
  open: (image: number) => void;
}

/** A small picture, the case, and a word on it. */
function Item({ image, study, children, open }: { image: number; study: string; children?: preact.ComponentChildren; open: (image: number) => void }) {
  return (
    <li class="map-item">
      <span class="map-picture">
        <Thumbnail image={image} alt="" />
      </span>
      <span class="map-words">
        <a href={href("cases", study)} title={study}>
          {shortUid(study)}
        </a>
        {children}
        <button type="button" class="small" onClick={() => open(image)} aria-label={`Show ${shortUid(study)} on the map`}>
          On the map
        </button>
      </span>
    </li>
  );
}

export function Neighbours({ place, open }: { place: MapPlace; open: (image: number) => void }) {
  return (
    <>
      {place.warnings.map((one) => (
        <p key={one} class="note">
          {one}
        </p>
      ))}
      <p class="quiet small">
        The nearest by their vectors, not by the map.
        {place.scatter !== null && place.scatter > 0.3 && " They lie far apart here: the place says little."}
      </p>
      <ol class="plain map-items">
        {place.neighbours.map((one) => (
          <Item key={one.image_id} image={one.image_id} study={one.study_instance_uid} open={open}>
            <span class="quiet">cosine {figure(one.score, 3)}</span>
          </Item>
        ))}
      </ol>
    </>
  );
}

export function OutlierList({ level, version, open }: Of) {
  const found = useLoad(`outliers ${level} ${version}`, (signal) => get<Outliers>("/v1/map/outliers", { level, version, limit: 50 }, signal));
  return (
    <ListState of={found}>
      {(value) =>
        value.outliers.length ? (
          <ol class="plain map-items">
            {value.outliers.map((one) => (
              <Item key={one.image_id} image={one.image_id} study={one.study_instance_uid} open={open}>
                <span class="quiet">
                  distance {figure(one.apart, 3)}, as far as {percent(one.share, 1)} of all
                </span>
              </Item>
            ))}
          </ol>
        ) : (
          <p>Nothing to compare: the archive holds one study.</p>
        )
      }
    </ListState>
  );
}

const COSINES = [0.9, 0.95, 0.98, 0.99, 0.999];

export function DuplicateList({ level, version, open }: Of) {
  const [least, choose] = useState(0.98);
  const [others, only] = useState(false);
  const query = { level, version, min_cosine: least, other_patients: others, limit: 50 };
  const found = useLoad(JSON.stringify(query), (signal) => get<Duplicates>("/v1/map/duplicates", query, signal));
  return (
    <>
      <p class="row">
        <label class="field">
          Cosine at least{" "}
          <select value={String(least)} onChange={(event) => choose(Number(event.currentTarget.value))}>
            {COSINES.map((one) => (
              <option key={one} value={String(one)}>
                {one}
              </option>
            ))}
          </select>
        </label>
        <label>
          <input type="checkbox" checked={others} onChange={() => only(!others)} /> of several patients
        </label>
      </p>
      <ListState of={found}>
        {(value) => (
          <>
            <p>{plural(value.total, "group")} of cases that are nearly the same.</p>
            <ol class="plain">
              {value.groups.map((group) => (
                <li key={group.cases[0]?.image_id}>
                  <h2 class="map-group">
                    {plural(group.cases.length, "case")} of {plural(group.patients, "patient")}, cosine {figure(group.cosine, 3)}
                  </h2>
                  <ol class="plain map-items">
                    {group.cases.map((one) => (
                      <Item key={one.image_id} image={one.image_id} study={one.study_instance_uid} open={open} />
                    ))}
                  </ol>
                </li>
              ))}
            </ol>
          </>
        )}
      </ListState>
    </>
  );
}

const ROWS = 100;

/** The points as a table: the chosen ones, or all. */
export function PointTable({ points, colours, chosen, open }: { points: Points; colours: Colours | undefined; chosen: readonly number[]; open: (image: number) => void }) {
  const [page, turn] = useState(0);
  const total = chosen.length || points.images.length;
  const last = Math.max(0, Math.ceil(total / ROWS) - 1);
  const first = Math.min(page, last) * ROWS;
  const rows = Array.from({ length: Math.min(ROWS, total - first) }, (_, i) => (chosen.length ? chosen[first + i]! : first + i));
  const value = (index: number) => {
    const code = colours?.codes[index] ?? UNKNOWN;
    if (!colours || code === UNKNOWN) return "–";
    return colours.kind === "number" ? figure(code / 250) : colours.names[code];
  };
  return (
    <>
      <p>
        {chosen.length ? plural(chosen.length, "selected point") : plural(points.images.length, "point")}, {count(first + 1)} to {count(first + rows.length)}
      </p>
      <Table
        caption="Points of the map"
        columns={[
          { name: "image", title: "Image", number: true, show: (row: number) => points.images[row] },
          { name: "value", title: "Colour", show: value },
          { name: "x", title: "x", number: true, show: (row) => figure(points.places[2 * row], 3) },
          { name: "y", title: "y", number: true, show: (row) => figure(points.places[2 * row + 1], 3) },
          {
            name: "open",
            title: "Open",
            show: (row) => (
              <button type="button" class="small" onClick={() => open(points.images[row]!)} aria-label={`Open image ${points.images[row]}`}>
                Open
              </button>
            ),
          },
        ]}
        rows={rows}
        rowKey={(row) => row}
      />
      <p class="row">
        <button type="button" disabled={page <= 0} onClick={() => turn(Math.min(page, last) - 1)}>
          Before
        </button>
        <button type="button" disabled={page >= last} onClick={() => turn(page + 1)}>
          Next
        </button>
      </p>
    </>
  );
}
