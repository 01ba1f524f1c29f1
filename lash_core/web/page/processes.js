// A session's processes: how each stands, and the end of its log.

import { ago, brief, h } from "./dom.js";

export const isRunning = (row) => row.status === "running";

/** Rows for a list; `cancel(processId, button)` is null where nothing may be cancelled. */
export function processRows(rows, cancel) {
  if (!rows.length) return [h("li", { class: "empty" }, "It has started none.")];
  return rows.map((row) => processRow(row, cancel));
}

function processRow(row, cancel) {
  const state = row.cancelling ? "cancelling" : isRunning(row) && row.waiting ? "waiting" : row.status;
  const facts = [row.kind, row.attempt > 1 ? `attempt ${row.attempt}` : null, ago(row.created_at_ms)];
  return h(
    "li", { "data-process-id": row.process_id, "data-status": row.status },
    h("div", {}, h("strong", {}, row.label || row.kind), " ", h("span", { class: `state ${isRunning(row) ? "" : "over"}` }, state)),
    h("div", { class: "who" }, facts.filter(Boolean).join(" · ")),
    row.failure && h("div", { class: "failure" }, row.failure.message),
    row.events?.length ? eventTail(row) : null,
    isRunning(row) && !row.cancelling && cancel
      ? h("button", { type: "button", class: "quiet", onclick: (event) => cancel(row.process_id, event.currentTarget) }, "Cancel")
      : null,
  );
}

function eventTail(row) {
  const before = row.events_before ? [h("li", { class: "who" }, `${row.events_before} earlier`)] : [];
  const lines = row.events.map((one) => {
    const payload = one.payload_bytes ? `${one.payload_bytes} bytes` : brief(one.payload ?? "", 200);
    return h("li", {}, h("code", {}, one.event_type), " ", h("span", { class: "who" }, payload));
  });
  return h("details", { class: "log" }, h("summary", { class: "who" }, "Log"), h("ol", {}, ...before, ...lines));
}
