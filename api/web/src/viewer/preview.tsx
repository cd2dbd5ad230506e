// A picture as the service draws it: as the model saw it, or for display where there is no DICOM to show.
import { useEffect, useState } from "preact/hooks";
import { Problem, request } from "../http";
import { Failed, Skeleton, Withheld } from "../parts/states";
import { Thumbnail, thumbnail } from "../parts/thumbnail";

export type Drawn = "model" | "display";

/** A picture as a URL of this page, or why there is none. */
export function usePreview(image: number | null, drawn: Drawn, shown: boolean): { url: string | null; problem: Problem | null; retry: () => void } {
  const [found, show] = useState<{ url: string | null; problem: Problem | null }>({ url: null, problem: null });
  const [round, again] = useState(0);
  useEffect(() => {
    if (image === null) return;
    const stop = new AbortController();
    let url: string | null = null;
    asked(image, drawn, shown, stop.signal)
      .then(
        (blob) => {
          if (stop.signal.aborted) return;
          url = URL.createObjectURL(blob);
          show({ url, problem: null });
        },
        (error: unknown) => {
          if (!stop.signal.aborted) show({ url: null, problem: error as Problem });
        },
      );
    return () => {
      stop.abort();
      if (url) URL.revokeObjectURL(url);
    };
  }, [image, drawn, shown, round]);
  return { ...found, retry: () => again(round + 1) };
}

// What is withheld is known from its small picture, and not asked for.
async function asked(image: number, drawn: Drawn, shown: boolean, signal: AbortSignal): Promise<Blob> {
  const small = shown ? null : await thumbnail(image);
  if (small && "code" in small && small.code === "burned-in") {
    throw new Problem(403, "burned-in", "Withheld", "The picture may bear the patient's name in its pixels.", "");
  }
  const query = { size: 1024, drawn, show_burned_in: shown ? true : null };
  const answer = await request("GET", `/v1/images/${image}/preview`, { query, headers: { Accept: "image/png, application/problem+json" }, signal });
  return answer.blob();
}

export interface PreviewProps {
  image: number | null;
  drawn: Drawn;
  alt: string;
  /** Shown although it may bear a name; the service refuses that to who may not. */
  unveiled: boolean;
}

export function Preview({ image, drawn, alt, unveiled }: PreviewProps) {
  const { url, problem, retry } = usePreview(image, drawn, unveiled);
  if (image === null) {
    return <p class="preview-note">The model did not see this slice: of a long series it sees some. Choose a slice that has a score.</p>;
  }
  if (problem?.code === "burned-in") {
    return (
      <div class="preview-note">
        <Withheld code="burned-in" />
        <p>The picture may bear the patient's name in its pixels. Somebody with the scope admin may show it.</p>
      </div>
    );
  }
  if (problem) {
    if (problem.code === "picture-gone") return <Thumbnail image={image} alt={`${alt}, as a small picture: its file is gone`} />;
    return (
      <div class="preview-note">
        <Failed problem={problem} retry={retry} />
      </div>
    );
  }
  if (!url) return <Skeleton rows={1} kind="block" />;
  return <img class="preview" src={url} alt={alt} draggable={false} />;
}
