// The one field: words are searched, a UID is opened, dropped pictures are searched with.
import { useEffect, useRef, useState } from "preact/hooks";
import { handOver } from "../handover";
import { useKeys } from "../keys";
import { href, navigate, usePlace } from "../router";
import { Icon } from "../parts/icon";
import { LookInPacs, lookInPacs } from "../parts/look_in_pacs";
import { looksLikeId, looksLikeUid } from "../pacs_question";
import { useKnown } from "../session";

export function Omnibox() {
  const field = useRef<HTMLInputElement>(null);
  const { page, query } = usePlace();
  const { session } = useKnown();
  const [text, write] = useState("");
  useEffect(() => write(page === "search" ? (query.get("text") ?? "") : ""), [page, query.get("text")]);
  useKeys({ "/": () => field.current?.focus() });
  const submit = async (event: Event) => {
    event.preventDefault();
    const words = text.trim();
    if (!words) return;
    field.current?.blur();
    if (looksLikeUid(words)) {
      navigate(href("cases", words));
      return;
    }
    // An ID is no text to search with, and would stand in the address.
    const looked = looksLikeId(words) && (await lookInPacs(session, words));
    if (!looked) navigate(href("search", "", { text: words }));
  };
  return (
    <form class="omnibox" role="search" onSubmit={submit}>
      <Icon name="search" />
      <input
        ref={field}
        type="search"
        name="text"
        value={text}
        onInput={(event) => write(event.currentTarget.value)}
        onKeyDown={(event) => event.key === "Escape" && field.current?.blur()}
        placeholder="Search by words or UID, or drop a picture"
        aria-label="Search by words or UID"
        autocomplete="off"
        spellcheck={false}
        maxLength={2000}
      />
      <LookInPacs text={text} />
      <label class="button" title="Search with pictures or DICOM files">
        Files…
        <input
          class="unseen"
          type="file"
          multiple
          onChange={(event) => {
            const files = [...(event.currentTarget.files ?? [])];
            event.currentTarget.value = "";
            if (files.length) searchWith(files);
          }}
        />
      </label>
    </form>
  );
}

function searchWith(files: File[]): void {
  navigate(href("search"));
  handOver(files);
}

/** Files dropped anywhere are searched with, unless the page takes them itself. */
export function useDroppedFiles(): boolean {
  const [over, show] = useState(false);
  useEffect(() => {
    const hasFiles = (event: DragEvent) => event.dataTransfer?.types.includes("Files") ?? false;
    const drag = (event: DragEvent) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      show(event.type === "dragover");
    };
    const drop = (event: DragEvent) => {
      show(false);
      if (event.defaultPrevented || !hasFiles(event)) return;
      event.preventDefault();
      const files = [...(event.dataTransfer?.files ?? [])];
      if (files.length) searchWith(files);
    };
    addEventListener("dragover", drag);
    addEventListener("dragleave", drag);
    addEventListener("drop", drop);
    return () => {
      removeEventListener("dragover", drag);
      removeEventListener("dragleave", drag);
      removeEventListener("drop", drop);
    };
  }, []);
  return over;
}
