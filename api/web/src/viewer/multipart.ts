// The one part of a multipart/related answer (RFC 2387), as DICOMweb gives frames (PS3.18 section 8.6.1.2).

export interface Part {
  contentType: string;
  bytes: Uint8Array;
}

const EMPTY_LINE = [13, 10, 13, 10];

/** The first part; the whole body where the answer has no boundary. Throws where the body is not what it says. */
export function firstPart(contentType: string, body: Uint8Array): Part {
  const boundary = /boundary="?([^";]+)"?/i.exec(contentType)?.[1];
  if (!boundary) return { contentType, bytes: body };
  const mark = new TextEncoder().encode(`--${boundary}`);
  const start = indexOf(body, mark, 0);
  const head = start < 0 ? -1 : indexOf(body, EMPTY_LINE, start);
  if (head < 0) throw new Error("the answer holds no part");
  const header = new TextDecoder().decode(body.subarray(start + mark.length, head));
  const from = head + EMPTY_LINE.length;
  const length = /^content-length:\s*(\d+)/im.exec(header)?.[1];
  const end = length === undefined ? lastIndexOf(body, mark) - 2 : from + Number(length);
  if (end < from || end > body.length) throw new Error("the part of the answer has no end");
  const type = /^content-type:\s*(.+)$/im.exec(header)?.[1]?.trim() ?? "application/octet-stream";
  return { contentType: type, bytes: body.slice(from, end) };
}

/** The transfer syntax of a part: its parameter, or that of its media type (PS3.18 table 8.7.3-2). */
export function transferSyntax(contentType: string): string {
  const named = /transfer-syntax="?([0-9.]+)"?/i.exec(contentType)?.[1];
  return named ?? BY_TYPE[contentType.split(";")[0]!.trim().toLowerCase()] ?? "1.2.840.10008.1.2.1";
}

const BY_TYPE: Record<string, string> = {
  "image/jpeg": "1.2.840.10008.1.2.4.50",
  "image/dicom-rle": "1.2.840.10008.1.2.5",
  "image/jls": "1.2.840.10008.1.2.4.80",
  "image/jp2": "1.2.840.10008.1.2.4.90",
  "image/jphc": "1.2.840.10008.1.2.4.201",
  "image/jxl": "1.2.840.10008.1.2.4.110",
};

function indexOf(body: Uint8Array, wanted: ArrayLike<number>, from: number): number {
  const first = wanted[0]!;
  for (let at = body.indexOf(first, from); at >= 0; at = body.indexOf(first, at + 1)) {
    if (holds(body, wanted, at)) return at;
  }
  return -1;
}

function lastIndexOf(body: Uint8Array, wanted: ArrayLike<number>): number {
  const first = wanted[0]!;
  for (let at = body.lastIndexOf(first); at >= 0; at = at > 0 ? body.lastIndexOf(first, at - 1) : -1) {
    if (holds(body, wanted, at)) return at;
  }
  return -1;
}

function holds(body: Uint8Array, wanted: ArrayLike<number>, at: number): boolean {
  for (let i = 0; i < wanted.length; i += 1) if (body[at + i] !== wanted[i]) return false;
  return true;
}
