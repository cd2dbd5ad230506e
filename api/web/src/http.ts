// Requests to the service of this page: the session's cookie goes with them, answers are JSON, errors problems.
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { queryOf, ROOT, type Query } from "./router";

/** An error answer (RFC 9457), or `unreachable` where no answer came. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    readonly title: string,
    readonly detail: string,
    readonly requestId: string,
    readonly retryAfter: number | null = null,
  ) {
    super(detail || title);
  }
}

const signedOut = new Set<() => void>();

/** Call back when an answer says that nobody is signed in; returns how to stop. */
export function onSignedOut(heard: () => void): () => void {
  signedOut.add(heard);
  return () => signedOut.delete(heard);
}

export interface Sent {
  query?: Query;
  json?: unknown;
  body?: BodyInit;
  headers?: Record<string, string>;
  signal?: AbortSignal;
}

/** The answer to a request; throws `Problem` for errors and AbortError where `signal` says so. */
export async function request(method: string, path: string, sent: Sent = {}): Promise<Response> {
  const words = queryOf(sent.query ?? {}).toString();
  const headers: Record<string, string> = { Accept: "application/json", ...sent.headers };
  let body = sent.body;
  if (sent.json !== undefined) {
    headers["Content-Type"] = "application/json";
    body = JSON.stringify(sent.json);
  }
  let answer: Response;
  try {
    answer = await fetch(ROOT + path + (words ? `?${words}` : ""), {
      method,
      headers,
      body,
      signal: sent.signal,
      credentials: "same-origin",
      redirect: "error",
    });
  } catch (error) {
    if ((error as Error).name === "AbortError") throw error;
    throw new Problem(0, "unreachable", "The service does not answer", "Check that it runs, then try again.", "");
  }
  if (answer.ok) return answer;
  const problem = await problemOf(answer);
  if (problem.status === 401 && !path.startsWith("/v1/session")) signedOut.forEach((heard) => heard());
  throw problem;
}

export async function problemOf(answer: Response): Promise<Problem> {
  const told = (await answer.json().catch(() => ({}))) as Record<string, unknown>;
  const text = (name: string, otherwise: string) => (typeof told[name] === "string" ? (told[name] as string) : otherwise);
  const wait = Number(answer.headers.get("Retry-After"));
  return new Problem(
    answer.status,
    text("code", `http-${answer.status}`),
    text("title", answer.statusText || "The request failed"),
    text("detail", ""),
    answer.headers.get("X-Request-ID") ?? "",
    wait > 0 ? wait : null,
  );
}

async function parsed<T>(answer: Response): Promise<T> {
  return (answer.status === 204 ? undefined : await answer.json()) as T;
}

export const get = async <T>(path: string, query?: Query, signal?: AbortSignal): Promise<T> =>
  parsed<T>(await request("GET", path, { query, signal }));
export const post = async <T>(path: string, json?: unknown, signal?: AbortSignal): Promise<T> =>
  parsed<T>(await request("POST", path, { json: json ?? {}, signal }));
export const put = async <T>(path: string, json?: unknown): Promise<T> => parsed<T>(await request("PUT", path, { json: json ?? {} }));
export const del = async <T>(path: string, query?: Query): Promise<T> => parsed<T>(await request("DELETE", path, { query }));

export type Loaded<T> =
  | { state: "loading"; value: T | undefined; problem: null; retry: () => void }
  | { state: "error"; value: T | undefined; problem: Problem; retry: () => void }
  | { state: "ready"; value: T; problem: null; retry: () => void };

/**
 * What `load` answers, loaded anew when `key` changes; `null` as the key loads nothing. While another key loads
 * the former value stays in `value`.
 */
export function useLoad<T>(key: string | null, load: (signal: AbortSignal) => Promise<T>): Loaded<T> {
  const [round, again] = useState(0);
  const [found, show] = useState<{ key: string | null; value?: T; problem?: Problem }>({ key: null });
  const last = useRef(load);
  last.current = load;
  useEffect(() => {
    if (key === null) return;
    const stop = new AbortController();
    show((before) => ({ key: null, value: before.value }));
    last.current(stop.signal).then(
      (value) => stop.signal.aborted || show({ key, value }),
      (error: unknown) => {
        if (stop.signal.aborted) return;
        const problem =
          error instanceof Problem ? error : new Problem(0, "screen-error", "This page failed", String(error), "");
        show((before) => ({ key, value: before.value, problem }));
      },
    );
    return () => stop.abort();
  }, [key, round]);
  const retry = useCallback(() => again((n) => n + 1), []);
  if (found.problem && found.key === key) return { state: "error", value: found.value, problem: found.problem, retry };
  if (key !== null && found.key === key) return { state: "ready", value: found.value as T, problem: null, retry };
  return { state: "loading", value: found.value, problem: null, retry };
}
