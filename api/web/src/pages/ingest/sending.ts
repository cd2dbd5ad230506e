// Files on their way to the service: those of dropped folders, too, and how far the upload is.
import { Problem } from "../../http";
import { ROOT } from "../../router";
import type { Job } from "./jobs";

/** A file with the path that it has below what was chosen or dropped. */
export interface Chosen {
  file: File;
  path: string;
}

export const MOST_FILES = 20_000;

export const chosenOf = (files: FileList | readonly File[] | null): Chosen[] =>
  [...(files ?? [])].map((file) => ({ file, path: file.webkitRelativePath || file.name }));

/** What was dropped, with all files of folders; at most `MOST_FILES`. */
export async function droppedOf(data: DataTransfer): Promise<Chosen[]> {
  const entries = [...data.items].map((item) => item.webkitGetAsEntry?.() ?? null);
  if (entries.every((one) => one === null)) return chosenOf(data.files);
  const found: Chosen[] = [];
  const waiting = entries.filter((one) => one !== null);
  while (waiting.length && found.length < MOST_FILES) {
    const entry = waiting.pop()!;
    if (entry.isFile) {
      const file = await new Promise<File | null>((resolve) => (entry as FileSystemFileEntry).file(resolve, () => resolve(null)));
      if (file) found.push({ file, path: entry.fullPath.replace(/^\//, "") });
      continue;
    }
    const reader = (entry as FileSystemDirectoryEntry).createReader();
    for (;;) {
      const some = await new Promise<FileSystemEntry[]>((resolve) => reader.readEntries(resolve, () => resolve([])));
      if (!some.length) break;
      waiting.push(...some);
    }
  }
  return found;
}

export const bytesOf = (files: readonly Chosen[]): number => files.reduce((sum, one) => sum + one.file.size, 0);

/** 1234567 as 1.2 MB. */
export function size(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let at = 0;
  while (bytes >= 1000 && at < units.length - 1) {
    bytes /= 1000;
    at += 1;
  }
  return `${at && bytes < 10 ? bytes.toFixed(1) : Math.round(bytes)} ${units[at]}`;
}

export interface Sending {
  files: readonly Chosen[];
  metadata: File | null;
  dryRun: boolean;
  /** Bytes sent and bytes in all. */
  progress: (sent: number, total: number) => void;
  signal: AbortSignal;
}

/** Send files and start their ingest: the job. `fetch` tells nothing of an upload's progress. */
export function send({ files, metadata, dryRun, progress, signal }: Sending): Promise<Job> {
  const form = new FormData();
  if (dryRun) form.append("dry_run", "true");
  for (const one of files) form.append("file", one.file, one.path);
  if (metadata) form.append("metadata", metadata, metadata.name);
  return new Promise((resolve, reject) => {
    const ask = new XMLHttpRequest();
    ask.open("POST", `${ROOT}/v1/ingest`);
    ask.responseType = "json";
    ask.setRequestHeader("Accept", "application/json");
    ask.upload.addEventListener("progress", (event) => progress(event.loaded, event.total));
    ask.addEventListener("load", () => {
      const told = (ask.response ?? {}) as Record<string, string>;
      if (ask.status === 202) resolve(ask.response as Job);
      else reject(new Problem(ask.status, told.code ?? `http-${ask.status}`, told.title ?? "The upload failed", told.detail ?? "", ask.getResponseHeader("X-Request-ID") ?? ""));
    });
    ask.addEventListener("error", () => reject(new Problem(0, "unreachable", "The upload broke off", "Check that the service runs, then send the files again.", "")));
    ask.addEventListener("abort", () => reject(new Problem(0, "stopped", "The upload was stopped", "Nothing was kept.", "")));
    signal.addEventListener("abort", () => ask.abort());
    ask.send(form);
  });
}
