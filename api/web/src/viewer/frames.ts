// Frames over DICOMweb: at most four on their way, the nearest to the slice that is shown first.
import { problemOf, Problem } from "../http";
import { firstPart, transferSyntax } from "./multipart";

const MOST_AT_ONCE = 4;
const ACCEPT = "multipart/related; type=application/octet-stream; transfer-syntax=*";

export interface Frame {
  bytes: Uint8Array;
  syntax: string;
}

interface Waiting {
  url: string;
  begin: () => void;
  drop: () => void;
}

/** Fetches frames by address. What is far from the slice that is shown waits, and is dropped when it moves on. */
export class FrameQueue {
  private waiting: Waiting[] = [];
  private running = 0;
  private distance: (url: string) => number = () => 0;

  /** How far an address is from what is shown; what is further than `most` and has not begun is dropped. */
  aim(distance: (url: string) => number, most: number): void {
    this.distance = distance;
    const far = this.waiting.filter((one) => distance(one.url) > most);
    this.waiting = this.waiting.filter((one) => !far.includes(one));
    far.forEach((one) => one.drop());
  }

  load(url: string): Promise<Frame> {
    return new Promise<Frame>((done, failed) => {
      const begin = () => {
        this.running += 1;
        fetchFrame(url)
          .then(done, failed)
          .finally(() => {
            this.running -= 1;
            this.next();
          });
      };
      this.waiting.push({ url, begin, drop: () => failed(new DOMException("no longer near", "AbortError")) });
      this.next();
    });
  }

  private next(): void {
    while (this.running < MOST_AT_ONCE && this.waiting.length) {
      let nearest = 0;
      for (let i = 1; i < this.waiting.length; i += 1) {
        if (this.distance(this.waiting[i]!.url) < this.distance(this.waiting[nearest]!.url)) nearest = i;
      }
      this.waiting.splice(nearest, 1)[0]!.begin();
    }
  }
}

async function fetchFrame(url: string): Promise<Frame> {
  let answer: Response;
  try {
    answer = await fetch(url, { headers: { Accept: ACCEPT }, credentials: "same-origin", redirect: "error" });
  } catch {
    throw new Problem(0, "unreachable", "The service does not answer", "Check that it runs, then try again.", "");
  }
  if (!answer.ok) throw await problemOf(answer);
  const part = firstPart(answer.headers.get("Content-Type") ?? "", new Uint8Array(await answer.arrayBuffer()));
  return { bytes: part.bytes, syntax: transferSyntax(part.contentType) };
}
