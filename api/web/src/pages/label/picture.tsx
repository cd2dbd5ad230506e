// The pictures of one case, large, one after the other.
import { useEffect, useState } from "preact/hooks";
import { get, useLoad } from "../../http";
import { useKeys } from "../../keys";
import { ROOT } from "../../router";
import { age, date } from "../../format";
import { Copy } from "../../parts/copy";
import { Skeleton, Withheld } from "../../parts/states";
import { Thumbnail } from "../../parts/thumbnail";
import type { Case } from "../../types";

interface Detail {
  images: { image_id: number; series_instance_uid: string; slice_index: number | null }[];
}

const SIZE = 1024;
const address = (image: number): string => `${ROOT}/v1/images/${image}/preview?size=${SIZE}&drawn=display`;

/** Ask for a picture before it is shown, unless it would be refused. */
export function fetchAhead(next: Case | null): void {
  if (next && !next.withheld && next.image_id !== null) new Image().src = address(next.image_id);
}

export function Pictures({ of, next }: { of: Case; next: Case | null }) {
  const uid = of.study_instance_uid;
  // The whole list of pictures is of use where there are several; opening it is one event of the audit trail.
  const detail = useLoad(of.images > 1 ? uid : null, (signal) => get<Detail>(`/v1/studies/${encodeURIComponent(uid)}`, {}, signal));
  const listed = detail.state === "ready" ? detail.value.images.map((one) => one.image_id) : [];
  const images = listed.length ? listed : of.image_id === null ? [] : [of.image_id];
  const [at, go] = useState(-1);
  useEffect(() => {
    go(-1);
    fetchAhead(next);
  }, [uid]);
  const first = Math.max(0, images.indexOf(of.image_id ?? -1));
  const now = at < 0 ? first : Math.min(at, images.length - 1);
  const step = (by: number) => go(Math.min(images.length - 1, Math.max(0, now + by)));
  useKeys({ ArrowRight: () => step(1), ArrowLeft: () => step(-1), ArrowDown: () => step(1), ArrowUp: () => step(-1) });
  const image = images[now] ?? null;
  return (
    <section class="label-pictures" aria-label="Pictures of the case">
      <div
        class="label-stage"
        onWheel={(event) => {
          if (images.length < 2 || event.ctrlKey) return;
          event.preventDefault();
          step(event.deltaY > 0 ? 1 : -1);
        }}
      >
        <Large key={image} image={image} withheld={of.withheld} alt={`Picture ${now + 1} of ${images.length} of this case`} />
      </div>
      {images.length > 1 && (
        <label class="label-slices">
          <span>
            Picture {now + 1} of {images.length}
          </span>
          <input type="range" min={0} max={images.length - 1} value={now} onInput={(event) => go(Number(event.currentTarget.value))} />
        </label>
      )}
      <p class="quiet label-facts">
        {[of.modalities.join(", "), of.body_parts.join(", "), age(of.patient_age), of.patient_sex, date(of.study_date)]
          .filter((one) => one && one !== "–")
          .join(" · ")}{" "}
        · Study <code>{uid.length > 22 ? `${uid.slice(0, 8)}…${uid.slice(-8)}` : uid}</code> <Copy text={uid} what="the study's UID" />
      </p>
    </section>
  );
}

function Large({ image, withheld, alt }: { image: number | null; withheld: boolean; alt: string }) {
  const [state, become] = useState<"loading" | "ready" | "failed">("loading");
  if (image === null) return <Withheld code="none" />;
  if (withheld) return <Withheld code="burned-in" />;
  // The thumbnail knows why there is no picture; the browser does not tell of an image that failed.
  if (state === "failed") return <Thumbnail image={image} alt={alt} />;
  return (
    <>
      {state === "loading" && <Skeleton rows={1} kind="block" />}
      <img
        src={address(image)}
        alt={alt}
        draggable={false}
        hidden={state === "loading"}
        onLoad={() => become("ready")}
        onError={() => become("failed")}
      />
    </>
  );
}
