// Follows one session for good: from the last cursor seen, over lost connections and restarts of the server.
//
// The browser reconnects an EventSource by itself while the connection merely broke, and names the last event's id. What
// it does not do is done here: go on after the server refused it, notice a connection that died silently, drop a cursor
// that nobody takes, and rest while the tab is hidden (browsers allow six connections to a host, over all tabs).

import { sessionUrl, whyRefused } from "./api.js";

export const TYPES = [
  "observation", "committed", "turn_activity", "agent_frame_switched", "queue_changed", "process_changed", "gap", "ended",
];
const MESSAGES_MAX = 200; // of a history that the page has nothing of; earlier ones on demand
const SILENCE_MS_MAX = 40_000; // the server says `alive` after 15 s of silence
const HIDDEN_MS_MAX = 30_000;
const LOOK_MS = 5_000;
const RETRY_MS = [300, 1_000, 2_000, 5_000, 10_000];

/**
 * `onEvent(event)` gets the decoded events in order. `onState(name, error)` gets what becomes of the connection:
 * connecting, live, waiting (tries again by itself), resting (the tab is hidden), refused (needs a login, or is not
 * permitted: call `start` again), missing (no such session yet; tries again by itself), stopped.
 */
export class SessionStream {
  constructor(sessionId, { onEvent, onState }) {
    this.sessionId = sessionId;
    this.cursor = null;
    this.state = "stopped";
    this._onEvent = onEvent;
    this._onState = onState;
    this._source = null;
    this._failures = 0;
    this._heardAt = 0;
    this._hiddenAt = null;
    this._retry = null;
    this._look = null;
    this._wake = () => this._woken();
  }

  /** Begin, or begin anew. Without a cursor the first event is an observation of the whole session. */
  start(cursor = null) {
    this.stop();
    this.cursor = cursor;
    this._failures = 0;
    this._hiddenAt = document.hidden ? Date.now() : null;
    this._look = setInterval(() => this._watch(), LOOK_MS);
    document.addEventListener("visibilitychange", this._wake);
    window.addEventListener("online", this._wake);
    this._open();
  }

  stop() {
    this._close();
    clearInterval(this._look);
    document.removeEventListener("visibilitychange", this._wake);
    window.removeEventListener("online", this._wake);
    this._say("stopped");
  }

  _close() {
    clearTimeout(this._retry);
    this._retry = null;
    this._source?.close();
    this._source = null;
  }

  _say(state, error = null) {
    if (state === this.state && !error) return;
    this.state = state;
    this._onState(state, error);
  }

  _url() {
    const url = sessionUrl(this.sessionId, "events");
    url.searchParams.set("messages", MESSAGES_MAX);
    if (this.cursor) url.searchParams.set("cursor", this.cursor);
    return url;
  }

  _open() {
    this._close();
    if (this.state !== "missing") this._say("connecting");
    const source = new EventSource(this._url());
    this._source = source;
    this._heardAt = Date.now();
    let opened = false;
    source.onopen = () => {
      if (source !== this._source) return;
      opened = true;
      this._failures = 0;
      this._heardAt = Date.now();
      this._say("live");
    };
    source.onerror = () => {
      if (source !== this._source) return;
      // CONNECTING: the browser tries again by itself, with the last event's id.
      if (source.readyState === EventSource.CLOSED) this._refused(opened);
      else this._say("connecting");
    };
    source.addEventListener("alive", () => (this._heardAt = Date.now()));
    for (const type of TYPES) {
      source.addEventListener(type, (message) => {
        if (source !== this._source) return;
        this._heardAt = Date.now();
        const event = JSON.parse(message.data);
        this._onEvent(event);
        if (source === this._source && message.lastEventId) this.cursor = message.lastEventId;
      });
    }
  }

  async _refused(opened) {
    this._close();
    const url = this._url();
    const attempt = (this._attempt = {});
    const error = await whyRefused(url);
    if (attempt !== this._attempt || this._source || this.state === "stopped" || this.state === "resting") return;
    if (error && (error.status === 401 || error.status === 403)) {
      this._say("refused", error);
      return;
    }
    // A cursor that is not taken (another life of the session, another server) is worth nothing: begin anew.
    if (error ? error.status === 400 || error.status === 404 : !opened && this._failures > 2) this.cursor = null;
    const wait = RETRY_MS[Math.min(this._failures, RETRY_MS.length - 1)];
    this._failures += 1;
    this._say(error?.status === 404 ? "missing" : "waiting", error);
    // Not all tabs at once after a restart.
    this._retry = setTimeout(() => this._open(), wait * (0.75 + Math.random() / 2));
  }

  _watch() {
    if (this.state === "stopped" || this.state === "refused") return;
    if (document.hidden) {
      this._hiddenAt ??= Date.now();
      if (this.state !== "resting" && Date.now() - this._hiddenAt > HIDDEN_MS_MAX) {
        this._close();
        this._say("resting");
      }
    } else if (this._source && Date.now() - this._heardAt > SILENCE_MS_MAX) {
      this._open();
    }
  }

  _woken() {
    if (document.hidden) {
      this._hiddenAt = Date.now();
      return;
    }
    this._hiddenAt = null;
    if (this.state === "stopped" || this.state === "refused") return;
    if (!this._source || this._source.readyState !== EventSource.OPEN) this._open();
    else if (Date.now() - this._heardAt > SILENCE_MS_MAX) this._open();
  }
}
