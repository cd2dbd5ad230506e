// The series of a study, with a picture of each.
import { plural } from "../../format";
import { setQuery } from "../../router";
import { Thumbnail } from "../../parts/thumbnail";
import { describe, middleOf, type Study } from "./study";

export function SeriesStrip({ study, chosen }: { study: Study; chosen: string }) {
  return (
    <ul class="series-strip plain" aria-label="Series">
      {study.series.map((one) => (
        <li key={one.series_instance_uid}>
          <button
            type="button"
            aria-pressed={one.series_instance_uid === chosen}
            onClick={() => setQuery({ series: one.series_instance_uid, slice: null, image: null }, { replace: true })}
          >
            <span class="series-picture">
              <Thumbnail image={middleOf(study, one.series_instance_uid)?.image_id ?? null} alt="" />
            </span>
            <span class="series-words">
              {describe(one)}
              <span class="quiet">{plural(one.images, "image")}</span>
            </span>
          </button>
        </li>
      ))}
    </ul>
  );
}
