// One session: its conversation as it comes, what waits in its queue, its processes, and a line to write to it.

import { get, post, sessionUrl } from "./api.js";
import { ago, h, painter } from "./dom.js";
import { isRunning, processRows } from "./processes.js";
import { applyEvent, dropQueued, newState, takeEarlier, takeFacts, takeSent } from "./state.js";
import { SessionStream } from "./stream.js";
import { Transcript } from "./transcript.js";

const FACTS_MS = 150; // several changes in a row ask once
const PROCESSES_MS = 4_000; // a process that ends says nothing to the session: looked at while one runs
const MORE_MESSAGES = 200;
const MESSAGES_MAX = 10_000; // what the server gives at once
const SETTLED_MS = 4_000; // after an input: the queue is looked at once, whatever was told of it
const CONNECTION = {
  connecting: "connecting…",
  live: "live",
  waiting: "no connection, trying again…",
  resting: "resting while hidden",
  refused: "not allowed",
  missing: "not begun",
  stopped: "stopped",
};

export class SessionScreen {
  /** `onRefused(error)` is called when a login is needed; `canWrite` is false where the server takes no input. */
  constructor(sessionId, { onRefused, canWrite }) {
    this.sessionId = sessionId;
    this._state = newState(sessionId);
    this._onRefused = onRefused;
    this._canWrite = canWrite;
    this._from = null;
    this._timers = new Map();
    this._stream = new SessionStream(sessionId, {
      onEvent: (event) => this._take(event),
      onState: (name, error) => this._connection(name, error),
    });
    this._paint = painter(() => this._draw());
    this._build();
  }

  start() {
    this._stream.start();
    this._soon("processes", () => this._loadProcesses(), 0);
    this._ticker = setInterval(() => this._drawTimes(), 10_000);
    if (this._canWrite && matchMedia("(hover: hover)").matches) this._text.focus();
  }

  stop() {
    this._stream.stop();
    clearInterval(this._ticker);
    for (const timer of this._timers.values()) clearTimeout(timer);
  }

  // -- events ------------------------------------------------------------------------------------------

  _take(event) {
    const changed = applyEvent(this._state, event);
    if (changed.reload) {
      // Something between is missing here: begin with the whole session.
      this._stream.start();
      return;
    }
    if (changed.from !== null) this._from = Math.min(this._from ?? changed.from, changed.from);
    if (event.type === "committed") this._announce(event.messages);
    if (changed.ask) this._soon("facts", () => this._loadFacts(), FACTS_MS);
    if (changed.processes || event.type === "committed") this._soon("processes", () => this._loadProcesses(), FACTS_MS);
    this._paint();
  }

  _connection(name, error) {
    this.element.dataset.connection = name;
    this._status.textContent = CONNECTION[name];
    this._status.title = error?.message ?? "";
    if (name === "refused") this._failed(error);
  }

  _soon(name, run, ms) {
    clearTimeout(this._timers.get(name));
    this._timers.set(name, setTimeout(() => run().catch((error) => this._failed(error)), ms));
  }

  async _loadFacts() {
    const askedAt = Date.now();
    takeFacts(this._state, await this._observation(0), askedAt);
    this._paint();
  }

  async _loadEarlier(button) {
    const state = this._state;
    button.disabled = true;
    try {
      const wanted = Math.min(state.messages.length + MORE_MESSAGES, MESSAGES_MAX);
      if (!takeEarlier(state, await this._observation(wanted))) return this._stream.start();
      this._transcript.drawEarlier(state.messages, state.offset);
    } catch (error) {
      this._failed(error);
    } finally {
      button.disabled = false;
    }
  }

  async _observation(messages) {
    const url = sessionUrl(this.sessionId, "observation");
    url.searchParams.set("messages", messages);
    return (await get(url)).observation;
  }

  async _loadProcesses() {
    const answer = await get(sessionUrl(this.sessionId, "processes")).catch((error) => {
      if (error.status === 404) return { items: [], total: 0 };
      throw error;
    });
    this._processCount.textContent = String(answer.total);
    const cancel = this._canWrite ? (processId, button) => this._cancelProcess(processId, button) : null;
    this._processes.replaceChildren(...processRows(answer.items, cancel));
    if (answer.items.some(isRunning)) this._soon("processes", () => this._loadProcesses(), PROCESSES_MS);
  }

  // -- what the user does --------------------------------------------------------------------------------

  async _send() {
    const text = this._text.value.trim();
    if (!text || this._sending) return;
    this._sending = true;
    this._button.disabled = true;
    // The key makes the input one, also when its answer is lost and it is sent again.
    if (this._draft?.text !== text) this._draft = { text, key: `page:${crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}`}` };
    try {
      const sent = await post(sessionUrl(this.sessionId, "input"), { text, source_key: this._draft.key });
      this._draft = null;
      this._text.value = "";
      this._grow();
      takeSent(this._state, sent.batch_id, text);
      this._state.notice = null;
      this._soon("facts", () => this._loadFacts(), SETTLED_MS);
      if (this._stream.state === "missing" || this._stream.state === "waiting") this._stream.start();
      this._paint();
      this._transcript.toEnd();
    } catch (error) {
      this._failed(error);
    } finally {
      this._sending = false;
      this._button.disabled = false;
      this._text.focus();
    }
  }

  async _cancelInput(row, button) {
    button.disabled = true;
    try {
      const answer = await post(sessionUrl(this.sessionId, "cancel-input"), { input_id: row.batch_id });
      if (answer.outcome === "cancelled") dropQueued(this._state, [row.batch_id]);
      else this._tell("info", `It was too late to take that back (${answer.outcome.replaceAll("_", " ")}).`);
      await this._loadFacts();
    } catch (error) {
      button.disabled = false;
      this._failed(error);
    }
  }

  async _cancelTurn() {
    this._stopButton.disabled = true;
    try {
      await post(sessionUrl(this.sessionId, "cancel-turn"));
    } catch (error) {
      this._failed(error);
    } finally {
      this._stopButton.disabled = false;
    }
  }

  async _cancelProcess(processId, button) {
    button.disabled = true;
    try {
      await post(sessionUrl(this.sessionId, "processes/cancel"), { process_ids: [processId] });
      await this._loadProcesses();
    } catch (error) {
      button.disabled = false;
      this._failed(error);
    }
  }

  _failed(error) {
    if (error.status === 401) this._onRefused(error);
    else this._tell("error", error.message);
  }

  _tell(level, text) {
    this._state.notice = { level, text };
    this._paint();
  }

  // -- drawing -------------------------------------------------------------------------------------------

  _build() {
    this._status = h("span", { class: "connection", role: "status" }, CONNECTION.connecting);
    this._facts = h("p", { class: "facts" });
    this._stopButton = h("button", { type: "button", class: "quiet danger", hidden: true, onclick: () => this._cancelTurn() }, "Stop this turn");
    this._scroller = h("div", { class: "scroller", tabindex: "0", "aria-label": "Conversation" });
    this._transcript = new Transcript(this._scroller, (button) => this._loadEarlier(button));
    this._doing = h("p", { class: "doing", hidden: true });
    this._notice = h("p", { class: "notice", role: "alert", hidden: true });
    this._queue = h("ol", { class: "queue", "aria-label": "Inputs that wait" });
    this._empty = h("p", { class: "empty", hidden: true }, "Nothing was said here yet.");
    this._spoken = h("p", { class: "unseen", role: "status", "aria-live": "polite" });
    this._scroller.append(this._empty, ...this._transcript.elements, this._doing, this._queue, this._notice);
    this._processes = h("ul", { class: "processes" });
    this._processCount = h("span", { class: "count" }, "0");
    const aside = h("details", { class: "side" }, h("summary", {}, "Processes ", this._processCount), this._processes);
    aside.open = matchMedia("(min-width: 70rem)").matches;
    this.element = h(
      "section", { class: "session", "data-connection": "connecting" },
      h(
        "header", {},
        h("a", { href: "#/", class: "back", "aria-label": "All sessions" }, "←"),
        h("div", { class: "title" }, h("h1", {}, this.sessionId), this._facts),
        this._stopButton, this._status,
      ),
      h(
        "div", { class: "body" },
        h("div", { class: "talk" }, this._scroller, this._canWrite ? this._composer() : h("p", { class: "readonly" }, "This server takes no input.")),
        aside,
      ),
      this._spoken,
    );
  }

  _composer() {
    this._text = h("textarea", {
      rows: "1", placeholder: "Write to the agent", "aria-label": "Write to the agent", enterkeyhint: "send",
      onkeydown: (event) => {
        if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
          event.preventDefault();
          this._send();
        }
      },
      oninput: () => this._grow(),
    });
    this._button = h("button", { type: "submit" }, "Send");
    const submit = (event) => {
      event.preventDefault();
      this._send();
    };
    return h("form", { class: "composer", onsubmit: submit }, this._text, this._button);
  }

  _grow() {
    this._text.style.height = "auto";
    this._text.style.height = `${Math.min(this._text.scrollHeight + 2, 200)}px`;
  }

  _draw() {
    const state = this._state;
    if (this._from !== null) this._transcript.drawHistory(state.messages, this._from, state.offset);
    this._from = null;
    this._transcript.drawLive(state.provisional);
    this._doing.hidden = !state.working;
    this._doing.textContent = state.doing ? `${state.doing}…` : "working…";
    this._stopButton.hidden = !(this._canWrite && state.working);
    this._empty.hidden = !(state.known && !state.messages.length && !state.provisional.length && !state.queued.length);
    this._notice.hidden = !state.notice;
    this._notice.className = `notice ${state.notice?.level ?? ""}`;
    this._notice.textContent = state.notice?.text ?? "";
    this._drawQueue();
    this._transcript.follow();
    this._drawFacts();
    this.element.dataset.cursor = this._stream.cursor ?? "";
    this.element.dataset.messages = String(state.offset + state.messages.length);
    this.element.dataset.gaps = String(state.gaps);
    this.element.dataset.working = String(state.working);
  }

  _drawQueue() {
    const rows = this._state.queued;
    const key = rows.map((row) => `${row.batch_id} ${row.text ?? ""}`).join("\n");
    if (key === this._queueKey) return;
    this._queueKey = key;
    this._queue.replaceChildren(
      ...rows.map((row) =>
        h(
          "li", { class: "message user waiting", "data-batch-id": row.batch_id },
          h("div", { class: "who" }, "Waiting · ", h("time", { "data-ms": row.enqueued_at_ms }, ago(row.enqueued_at_ms))),
          h("div", { class: "text" }, row.text || "(no text)"),
          this._canWrite && h("button", { type: "button", class: "quiet", onclick: (event) => this._cancelInput(row, event.target) }, "Take back"),
        ),
      ),
    );
  }

  _drawFacts() {
    const { policy, turn_index: turns, token_usage: usage } = this._state.facts;
    const words = [];
    if (policy?.model) words.push(policy.model.id ?? policy.model);
    if (this._state.known) words.push(`${this._state.offset + this._state.messages.length} messages`, `turn ${turns}`);
    const tokens = (usage?.input ?? 0) + (usage?.output ?? 0);
    if (tokens) words.push(`${tokens.toLocaleString("en")} tokens`);
    this._facts.textContent = words.join(" · ");
  }

  _drawTimes() {
    for (const time of this._queue.querySelectorAll("time")) time.textContent = ago(Number(time.dataset.ms));
  }

  /** Tell a screen reader the answer once it is whole, not letter by letter. */
  _announce(messages) {
    const answer = messages.filter((message) => message.role === "assistant").at(-1);
    const text = answer?.parts.filter((part) => part.type === "text").map((part) => part.text).join("");
    if (text) this._spoken.textContent = `Agent: ${text.slice(0, 500)}`;
  }
}
