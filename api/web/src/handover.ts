// Files that were dropped anywhere, on their way to the page that takes them: no address can hold a file.
let held: File[] = [];
const listeners = new Set<() => void>();

export function handOver(files: readonly File[]): void {
  held = [...files];
  listeners.forEach((one) => one());
}

/** The files, once. */
export function takeOver(): File[] {
  const files = held;
  held = [];
  return files;
}

/** Hear of files that come while the page is shown already; returns how to stop. */
export function onHandOver(heard: () => void): () => void {
  listeners.add(heard);
  return () => listeners.delete(heard);
}
