// What a page knows of one session: history, what is provisional, the queue. No DOM and no network in here.
//
// `applyEvent` takes the events of `GET sessions/{id}/events` (docs/contracts/web.md 2) in their order and says what
// changed. What streams is provisional until a `committed` follows; a `model_attempt_reset` takes back what has its
// correlation id; an `observation` or a `gap` replaces everything.

export function newState(sessionId) {
  return {
    sessionId,
    known: false, // an observation has come
    revision: 0,
    historyRevision: 0, // of the newest observation or commit
    activityRevision: 0, // on which the turn of the newest activity began
    messages: [],
    offset: 0, // messages of the history before the first one that is here
    provisional: [],
    queued: [], // {batch_id, text, enqueued_at_ms}: not taken in by a turn yet
    settled: new Set(), // batches that were cancelled, or are in the history: an older answer may still list them
    facts: { policy: null, turn_index: 0, token_usage: null, current_agent_frame_id: "" },
    working: false,
    doing: "", // what the turn does now, for people
    notice: null, // {level, text}: the newest error or retry
    gaps: 0,
  };
}

const DELETED = { level: "info", text: "This session was deleted." };

const ON_ITS_WAY_MS = 3_000; // an observation that comes now may have been made before what was just sent

const nothing = () => ({ from: null, live: false, queue: false, facts: false, processes: false, reload: false, ask: false });

/** Apply one event. Answers what changed.
 *
 * `from`: the first message that is another one, or null. `live`, `queue`, `facts`, `processes`: that part. `ask`: an
 * observation would say more of the queue. `reload`: something between is missing, begin with a new observation. */
export function applyEvent(state, event) {
  const changed = nothing();
  if (event.revision !== undefined && event.revision !== null) state.revision = event.revision;
  switch (event.type) {
    case "observation":
      replaceAll(state, event.observation, changed);
      break;
    case "gap":
      state.gaps += 1;
      replaceAll(state, event.observation, changed);
      break;
    case "committed":
      commit(state, event, changed);
      break;
    case "turn_activity":
      state.activityRevision = event.revision ?? 0;
      takeActivity(state, event.activity, changed);
      break;
    case "queue_changed":
      if (event.kind === "cancelled") dropQueued(state, event.batch_ids);
      changed.queue = changed.ask = true;
      break;
    case "process_changed":
      changed.processes = true;
      break;
    case "ended":
      if (event.reason === "deleted") Object.assign(state, newState(state.sessionId), { notice: DELETED });
      if (event.reason === "deleted") Object.assign(changed, { from: 0, live: true, queue: true, facts: true, processes: true });
      break;
    case "agent_frame_switched":
      state.facts.current_agent_frame_id = event.frame_id;
      changed.facts = true;
      break;
  }
  return changed;
}

/**
 * The queue and the facts of an observation that was asked for by itself; the stream alone tells of the history.
 * `askedAt` is `Date.now()` of the request: what was sent since then cannot be in its answer, and stays.
 */
export function takeFacts(state, observation, askedAt) {
  takeCounters(state, observation);
  const rows = new Map((observation.queued ?? []).map((row) => [row.batch_id, row]));
  const inputs = state.provisional.filter((item) => item.kind === "input");
  const taken = new Set(inputs.map((item) => item.batchId));
  // What a turn has taken in is listed until that turn is stored.
  for (const item of inputs) item.text ||= rows.get(item.batchId)?.text ?? "";
  for (const row of state.queued) if (row.sentAt >= askedAt && !rows.has(row.batch_id)) rows.set(row.batch_id, row);
  state.queued = [...rows.values()].filter(
    (row) => !taken.has(row.batch_id) && !state.settled.has(row.batch_id) && !hasMessage(state, row.batch_id),
  );
}

/** Messages before the first one that is here, from an observation that has more of them. False: it does not fit. */
export function takeEarlier(state, observation) {
  const known = state.offset - observation.first;
  if (known <= 0) return known === 0;
  if (state.messages.length && observation.messages[known]?.id !== state.messages[0].id) return false;
  state.messages.unshift(...observation.messages.slice(0, known));
  state.offset = observation.first;
  return true;
}

/** What the page itself has just sent is shown at once. */
export function takeSent(state, batchId, text) {
  const known = state.queued.some((row) => row.batch_id === batchId) || hasMessage(state, batchId);
  const taken = state.provisional.find((item) => item.kind === "input" && item.batchId === batchId);
  if (taken) taken.text ||= text;
  else if (!known && !state.settled.has(batchId)) {
    const now = Date.now();
    state.queued.push({ batch_id: batchId, text, enqueued_at_ms: now, sentAt: now });
  }
}

function takeCounters(state, facts) {
  for (const name of Object.keys(state.facts)) {
    if (facts[name] !== undefined) state.facts[name] = facts[name];
  }
}

export function dropQueued(state, batchIds) {
  for (const id of batchIds) state.settled.add(id);
  state.queued = state.queued.filter((row) => !batchIds.includes(row.batch_id));
}

function hasMessage(state, batchId) {
  const id = `m_batch_${batchId}`;
  return state.messages.some((message) => message.id === id);
}

function replaceAll(state, observation, changed) {
  state.known = true;
  state.historyRevision = state.revision;
  state.messages = observation.messages ?? [];
  state.offset = observation.first ?? 0;
  state.provisional = [];
  state.working = false;
  state.doing = "";
  takeFacts(state, observation, Date.now() - ON_ITS_WAY_MS);
  Object.assign(changed, { from: 0, live: true, queue: true, facts: true, processes: true });
}

function commit(state, event, changed) {
  let from = event.first - state.offset;
  if (from > state.messages.length) {
    changed.reload = true;
    return;
  }
  if (from < 0) {
    state.offset = event.first;
    from = 0;
  }
  state.messages.length = from;
  state.messages.push(...event.messages);
  takeCounters(state, event);
  // A later turn may have begun before this commit was told: what it says is not over.
  const later = event.revision > state.historyRevision ? event.revision : Infinity;
  const staying = state.provisional.filter((item) => item.revision >= later);
  const inputs = state.provisional
    .filter((item) => item.kind === "input" && !staying.includes(item))
    .map((item) => item.batchId);
  dropQueued(state, inputs);
  for (const message of event.messages) {
    if (message.id?.startsWith("m_batch_")) dropQueued(state, [message.id.slice("m_batch_".length)]);
  }
  state.provisional = staying;
  state.historyRevision = event.revision ?? 0;
  state.working = staying.length > 0;
  if (!state.working) state.doing = "";
  Object.assign(changed, { from, live: true, queue: true, facts: true, ask: state.queued.length > 0 });
  if (state.offset + state.messages.length !== event.message_count) changed.reload = true;
}

function takeActivity(state, activity, changed) {
  changed.live = true;
  state.working = true;
  const correlation = activity.correlation_id;
  switch (activity.type) {
    case "assistant_prose_delta":
      appendText(state, "text", correlation, activity.text);
      state.doing = "answering";
      break;
    case "reasoning_delta":
      appendText(state, "reasoning", correlation, activity.text);
      state.doing = "thinking";
      break;
    case "model_attempt_reset":
      state.provisional = state.provisional.filter((item) => item.kind === "input" || item.correlation !== correlation);
      break;
    case "model_request_started":
      state.doing = `asking ${activity.model ?? "the model"}`;
      if (state.notice?.level === "retry") state.notice = null;
      break;
    case "retry_status":
      state.notice = { level: "retry", text: `The model failed (${activity.message}); it is tried again in ${seconds(activity.delay_ms)}.` };
      break;
    case "error":
      state.notice = { level: "error", text: activity.message ?? "The turn failed." };
      break;
    case "tool_call_started":
    case "tool_call_completed":
    case "plugin_runtime":
      takeTool(state, activity);
      break;
    case "queued_work_started":
      state.notice = null;
      state.doing = "reading the input";
      changed.queue = true;
      changed.ask = !takeIn(state, activity.batch_ids ?? []);
      break;
    case "final_value":
    case "tool_value":
      state.provisional.push({ kind: "value", revision: state.activityRevision, correlation, value: activity.value, name: activity.tool_name ?? "" });
      break;
  }
}

function appendText(state, kind, correlation, text) {
  const last = state.provisional.at(-1);
  if (last && last.kind === kind && last.correlation === correlation) last.text += text;
  else state.provisional.push({ kind, revision: state.activityRevision, correlation, text });
}

function takeTool(state, activity) {
  const id = activity.call_id ?? activity.correlation_id;
  let tool = state.provisional.find((item) => item.kind === "tool" && item.callId === id);
  if (!tool && activity.type === "plugin_runtime") {
    if (activity.event !== "tool_progress") return;
  }
  if (!tool) {
    const name = activity.tool_name ?? "tool";
    tool = { kind: "tool", revision: state.activityRevision, correlation: activity.correlation_id, callId: id, name, version: 0 };
    state.provisional.push(tool);
  }
  tool.version += 1;
  if (activity.type === "tool_call_started") {
    tool.args = activity.args;
  } else if (activity.type === "tool_call_completed") {
    tool.output = activity.output;
  } else if (activity.event === "tool_progress") {
    tool.progress = activity.progress;
  }
  // Several run at once: one that has ended is not what it waits for.
  const running = state.provisional.filter((item) => item.kind === "tool" && item.output === undefined);
  state.doing = running.length ? `using ${[...new Set(running.map((item) => item.name))].join(", ")}` : "working";
}

/** A turn has inputs taken in. False: the text of one is not known here. */
function takeIn(state, batchIds) {
  for (const id of batchIds) {
    if (state.provisional.some((item) => item.kind === "input" && item.batchId === id) || hasMessage(state, id)) continue;
    const row = state.queued.find((one) => one.batch_id === id);
    state.provisional.push({ kind: "input", revision: state.activityRevision, correlation: `input:${id}`, batchId: id, text: row?.text ?? "" });
  }
  state.queued = state.queued.filter((row) => !batchIds.includes(row.batch_id));
  return state.provisional.every((item) => item.kind !== "input" || item.text);
}

function seconds(ms) {
  return `${Math.max(0.1, (ms ?? 0) / 1000).toFixed(1)} s`;
}
