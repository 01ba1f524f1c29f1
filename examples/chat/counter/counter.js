// A page of one's own over a session: two modules of lash follow it and keep what it says, drawing is up to the page.

import { get, post, sessionUrl } from "./lash/api.js";
import { brief, h, painter } from "./lash/dom.js";
import { applyEvent, newState, takeSent } from "./lash/state.js";
import { SessionStream } from "./lash/stream.js";

const talk = document.getElementById("talk");
const clerk = document.getElementById("clerk");
const form = document.getElementById("say");
const me = await get(new URL("me", document.baseURI)).catch(() => {
  clerk.textContent = "The shop knows its customers by a cookie, and your browser keeps none for it.";
  form.hidden = true;
  throw new Error("no cookie");
});
const sessionId = me.session_id;
const state = newState(sessionId);
let connection = "";

const stream = new SessionStream(sessionId, {
  onEvent(event) {
    if (applyEvent(state, event).reload) stream.start();
    paint();
  },
  onState(name) {
    connection = name;
    paint();
  },
});

const line = (who, text) => text && h("li", { class: who }, text);

/** A message of the history: what was said. Tool calls are the clerk's business. */
function said(message) {
  const text = message.parts.filter((part) => part.type === "text").map((part) => part.text).join("");
  if (message.role === "system") return null;
  return line(message.origin ? "news" : message.role, text);
}

/** Something that comes right now; it is replaced when the turn is stored. */
function comes(item) {
  if (item.kind === "input") return line("user", item.text);
  if (item.kind === "text") return line("assistant coming", item.text);
  if (item.kind === "tool" && item.output === undefined) return line("busy", `looks: ${item.name} ${brief(item.args ?? "")}`);
  return null;
}

const paint = painter(() => {
  const lines = [
    ...state.messages.map(said),
    ...state.provisional.map(comes),
    ...state.queued.map((row) => line("user waiting", row.text)),
  ];
  talk.replaceChildren(...lines.filter(Boolean));
  talk.scrollTop = talk.scrollHeight;
  const away = connection === "waiting" || connection === "connecting";
  clerk.textContent = away ? "One moment, the line is down…" : state.working ? "The clerk is at it…" : (state.notice?.text ?? "");
  document.body.dataset.connection = connection;
  document.body.dataset.working = String(state.working);
});

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const text = form.text.value.trim();
  if (!text) return;
  try {
    const sent = await post(sessionUrl(sessionId, "input"), { text, source_key: `counter:${Date.now()}:${Math.random()}` });
    takeSent(state, sent.batch_id, text);
    form.text.value = "";
    if (stream.state === "missing") stream.start();
  } catch (error) {
    state.notice = { level: "error", text: error.message };
  }
  paint();
});

stream.start();
form.text.focus();
