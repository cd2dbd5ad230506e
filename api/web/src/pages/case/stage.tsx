// The picture of a case: as DICOM, or as the model saw it.
import type { FunctionComponent } from "preact";
import { useEffect, useState } from "preact/hooks";
import { Problem } from "../../http";
import { setQuery } from "../../router";
import { useKeys } from "../../keys";
import { Failed, Skeleton } from "../../parts/states";
import { isDrawable, type SeriesFrame } from "../../viewer/series";
import type { ViewerProps } from "../../viewer/viewer";
import { Thumbnail } from "../../parts/thumbnail";
import { Preview } from "../../viewer/preview";
import type { Slice, StudySeries } from "./study";

export interface StageProps {
  series: StudySeries;
  slices: readonly Slice[];
  frames: readonly SeriesFrame[] | null;
  /** Why there are no frames, where there are none. */
  lack: Problem | null;
  /** The files are not here: of the pictures there are small ones alone. */
  gone: boolean;
  index: number;
  go: (index: number) => void;
  as: "dicom" | "model";
  /** The series is of plain pictures. */
  plain: boolean;
  /** Pictures that may bear a name are shown, too. */
  unveiled: boolean;
}

export function Stage({ series, slices, frames, lack, gone, index, go, as, plain, unveiled }: StageProps) {
  const image = slices[index]?.image?.image_id ?? null;
  const [failed, fallBack] = useState(false);
  const undecoded = failed || (frames !== null && !isDrawable(frames));
  const drawn = as === "dicom" && frames && !undecoded ? "frames" : as;
  const other = as === "dicom" ? "model" : "dicom";
  const turn = () => setQuery({ as: other === "dicom" ? null : other }, { replace: true });
  const step = (by: number) => go(Math.min(slices.length - 1, Math.max(0, index + by)));
  useKeys({ m: turn, ...(drawn === "frames" ? {} : { j: () => step(1), k: () => step(-1) }) });
  return (
    <div class="stage">
      <div class="row spread">
        <div class="row" role="group" aria-label="How the picture is drawn">
          <button type="button" aria-pressed={as === "dicom"} onClick={() => as === "dicom" || turn()}>
            As {plain || lack ? "stored" : "DICOM"}
          </button>
          <button type="button" aria-pressed={as === "model"} onClick={() => as === "model" || turn()}>
            <kbd>m</kbd> As the model saw it
          </button>
        </div>
        <span class="quiet">
          Slice {index + 1} of {slices.length}
        </span>
      </div>
      {drawn === "frames" ? (
        <LazyViewer frames={frames!} modality={series.modality} index={index} go={go} cannot={() => fallBack(true)} />
      ) : (
        <div
          class="viewer-stage preview-stage"
          tabindex={0}
          role="group"
          aria-label={`Slice ${index + 1} of ${slices.length}. Arrow keys change the slice.`}
          onKeyDown={(event) => arrow(event, step)}
          onWheel={(event) => {
            if (slices.length < 2 || event.ctrlKey) return;
            event.preventDefault();
            step(Math.sign(event.deltaY));
          }}
        >
          {gone ? (
            <Thumbnail image={image} alt={`Slice ${index + 1} of ${slices.length}, as a small picture`} />
          ) : (
            <Preview
              image={image}
              drawn={as === "model" ? "model" : "display"}
              unveiled={unveiled}
              alt={`Slice ${index + 1} of ${slices.length}${as === "model" ? ", as the model saw it" : ""}`}
            />
          )}
        </div>
      )}
      {as === "model" && (
        <p class="quiet">
          As the model saw it{slices[index]?.image ? ` (${slices[index]!.image!.rendering})` : ""}: rendered, then brought to the size that
          the model takes. Colours of a CT are its windows.
        </p>
      )}
      {as === "dicom" && undecoded && <p class="quiet">Drawn by the service: the browser cannot draw the frames of this series.</p>}
      {as === "dicom" && lack && <p class="quiet">{whyNoFrames(lack)}</p>}
    </div>
  );
}

function arrow(event: KeyboardEvent, step: (by: number) => void): void {
  const by = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1, PageDown: 10, PageUp: -10 }[event.key];
  if (by === undefined) return;
  event.preventDefault();
  step(by);
}

function whyNoFrames(lack: Problem): string {
  return `Drawn by the service: there are no DICOM frames to show (${lack.code || lack.title}).`;
}

// cornerstone3D comes with the first picture that is shown as DICOM, and never before.
function LazyViewer(props: ViewerProps) {
  const [Loaded, show] = useState<FunctionComponent<ViewerProps> | null>(null);
  const [failed, fail] = useState(false);
  useEffect(() => {
    import("../../viewer/viewer").then(
      (module) => show(() => module.default),
      () => fail(true),
    );
  }, []);
  if (failed) {
    const problem = new Problem(0, "page-not-loaded", "The viewer could not be loaded", "The service may have been updated.", "");
    return <Failed problem={problem} retry={() => location.reload()} />;
  }
  if (!Loaded) return <div class="viewer-stage"><Skeleton rows={1} kind="block" /></div>;
  return <Loaded {...props} />;
}
