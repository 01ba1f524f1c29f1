// Requests to the app that serves this page. All addresses are relative to this file, so it works wherever it is mounted.

const BASE = new URL("./", import.meta.url);
const ANSWER_MS_MAX = 20_000;

/** An answer that is not 2xx: `status` (0 = no answer at all), `code` and `message` of its JSON. */
export class ApiError extends Error {
  constructor(status, body) {
    const error = body?.error ?? body ?? {};
    super(error.message ?? (status ? `the server answered ${status}` : "the server does not answer"));
    this.status = status;
    this.code = error.code ?? "";
  }
}

export function sessionUrl(sessionId, word) {
  return new URL(`sessions/${encodeURIComponent(sessionId)}/${word}`, BASE);
}

export async function get(url) {
  return await ask(url, { headers: { Accept: "application/json" } });
}

export async function post(url, body = {}) {
  return await ask(url, {
    method: "POST",
    headers: { "Content-Type": "application/json", Accept: "application/json" },
    body: JSON.stringify(body),
  });
}

export const address = (path) => new URL(path, BASE);

async function ask(url, options) {
  let response;
  try {
    response = await fetch(url, { ...options, credentials: "same-origin", signal: AbortSignal.timeout(ANSWER_MS_MAX) });
  } catch {
    throw new ApiError(0);
  }
  const body = await response.json().catch(() => null);
  if (!response.ok) throw new ApiError(response.status, body);
  return body;
}

/** Why an event stream is refused: the error of its first answer, or null when it would be served now. */
export async function whyRefused(url) {
  const stop = new AbortController();
  const timer = setTimeout(() => stop.abort(), ANSWER_MS_MAX);
  try {
    const response = await fetch(url, { headers: { Accept: "text/event-stream" }, credentials: "same-origin", signal: stop.signal });
    if (response.ok) return null;
    return new ApiError(response.status, await response.json().catch(() => null));
  } catch {
    return new ApiError(0);
  } finally {
    clearTimeout(timer);
    stop.abort();
  }
}
