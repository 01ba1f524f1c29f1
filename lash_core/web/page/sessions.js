// The list of sessions, newest first, and a way to open one by its name.

import { address, get } from "./api.js";
import { ago, h } from "./dom.js";

const LOOK_MS = 3_000;

export const sessionHref = (sessionId) => `#/session/${encodeURIComponent(sessionId)}`;

export class SessionsScreen {
  constructor({ onRefused, onLogout }) {
    this._onRefused = onRefused;
    this._rows = h("ul", { class: "sessions" });
    this._notice = h("p", { class: "notice error", role: "alert", hidden: true });
    this._more = h("button", { type: "button", class: "quiet", hidden: true, onclick: () => this._load(this._cursor) }, "Show more");
    const name = h("input", { name: "id", placeholder: "Name of a session", "aria-label": "Name of a session", maxlength: "200", required: true, autocomplete: "off" });
    const open = (event) => {
      event.preventDefault();
      if (name.value.trim()) location.hash = sessionHref(name.value.trim());
    };
    this.element = h(
      "section", { class: "list" },
      h("header", {}, h("h1", {}, "Sessions"), onLogout && h("button", { type: "button", class: "quiet", onclick: () => this._logout(onLogout) }, "Log out")),
      h("form", { class: "composer", onsubmit: open }, name, h("button", { type: "submit" }, "Open")),
      this._notice, this._rows, this._more,
    );
  }

  start() {
    this._timer = setInterval(() => !document.hidden && !this._extended && this._load(), LOOK_MS);
    this._load();
  }

  stop() {
    clearInterval(this._timer);
  }

  /** A login that is not over says so: whoever leaves relies on it. */
  async _logout(logout) {
    try {
      await logout();
    } catch (error) {
      this._logoutFailed = `You are still logged in: ${error.message}.`;
      this._tell(this._logoutFailed);
    }
  }

  _tell(text) {
    this._notice.textContent = text ?? "";
    this._notice.hidden = !text;
  }

  async _load(cursor = null) {
    if (this._loading) return;
    this._loading = true;
    const url = address("sessions");
    if (cursor) url.searchParams.set("cursor", cursor);
    try {
      const answer = await get(url);
      const rows = answer.items.map(row);
      if (cursor) this._extended = true;
      if (cursor) this._rows.append(...rows);
      else this._rows.replaceChildren(...(rows.length ? rows : [h("li", { class: "empty" }, "There is no session yet.")]));
      this._cursor = answer.next_cursor ?? null;
      this._more.hidden = !this._cursor;
      this._tell(this._logoutFailed);
    } catch (error) {
      if (error.status === 401) return this._onRefused(error);
      this._tell(error.message);
    } finally {
      this._loading = false;
    }
  }
}

function row(session) {
  const queued = session.queued ?? 0;
  const state = session.held_by ? "working" : queued ? "waiting" : "idle";
  const facts = [session.model, queued ? `${queued} waiting` : null, ago(session.created_at_ms)];
  return h(
    "li", {},
    h(
      "a", { href: sessionHref(session.id) },
      h("span", { class: `dot ${state}`, role: "img", "aria-label": state }),
      h("span", { class: "name" }, session.name || session.id),
      h("span", { class: "facts" }, facts.filter(Boolean).join(" · ")),
    ),
  );
}
