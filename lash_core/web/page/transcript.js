// Draws a conversation: the history, message by message, and under it what is provisional.
//
// Only what changed is drawn anew; text that streams is appended to the text that is there.

import { brief, h, shown } from "./dom.js";

const STICK_PX = 80; // so near to the end, the page follows what comes

export class Transcript {
  /** `scroller` is the element that scrolls; `onEarlier()` is called when somebody wants to see what was before. */
  constructor(scroller, onEarlier) {
    this._scroller = scroller;
    this._earlier = h("button", { class: "quiet earlier", type: "button", hidden: true, onclick: (event) => onEarlier(event.currentTarget) });
    this._history = h("ol", { class: "messages", "aria-label": "Messages" });
    this._live = h("ol", { class: "messages provisional", "aria-label": "What comes now" });
    this._jump = h("button", { class: "jump", type: "button", hidden: true, onclick: () => this.toEnd() }, "Newest ↓");
    this._drawn = [];
    this._calls = new Map(); // call id → the element where its result goes
    this._items = new Map(); // provisional item → what is drawn of it
    this._following = true;
    const look = () => {
      this._following = this._atEnd();
      if (this._following) this._jump.hidden = true;
    };
    scroller.addEventListener("scroll", look, { passive: true });
    // A keyboard that comes up on a phone takes half of the page.
    this._resized = new ResizeObserver(() => this._following && this.toEnd());
    this._resized.observe(scroller);
    this.elements = [this._earlier, this._history, this._live, this._jump];
  }

  /** Draw the history from message `from` on; `before` messages are not here. */
  drawHistory(messages, from, before) {
    for (const element of this._drawn.splice(from)) element.remove();
    for (const message of messages.slice(from)) {
      const element = this._message(message);
      this._drawn.push(element);
      this._history.append(element);
    }
    this._earlier.hidden = before === 0;
    this._earlier.textContent = `Show earlier messages (${before})`;
  }

  /** Draw all of it anew, with messages in front, and stay at what is being read. */
  drawEarlier(messages, before) {
    const height = this._scroller.scrollHeight;
    this.drawHistory(messages, 0, before);
    this._scroller.scrollTop += this._scroller.scrollHeight - height;
  }

  /** Draw what is provisional. */
  drawLive(items) {
    const kept = new Set(items);
    for (const [item, drawn] of this._items) {
      if (kept.has(item)) continue;
      drawn.element.remove();
      this._items.delete(item);
    }
    for (const item of items) {
      const drawn = this._items.get(item);
      if (drawn) drawn.update(item);
      else this._items.set(item, this._begin(item));
    }
  }

  toEnd() {
    this._scroller.scrollTop = this._scroller.scrollHeight;
    this._following = true;
    this._jump.hidden = true;
  }

  _atEnd() {
    const { scrollTop, scrollHeight, clientHeight } = this._scroller;
    return scrollHeight - scrollTop - clientHeight < STICK_PX;
  }

  /** After everything in the scroller is drawn: go along, unless the reader went up to read. */
  follow() {
    if (this._following) this.toEnd();
    else this._jump.hidden = this._atEnd();
  }

  // -- messages ----------------------------------------------------------------------------------------

  _message(message) {
    const parts = message.parts.map((part) => this._part(part)).filter(Boolean);
    // What only carries tool results has nothing to show by itself: they stand with their calls.
    if (!parts.length) return h("li", { hidden: true });
    return bubble(message.role, message.origin, parts, { "data-message-id": message.id });
  }

  _part(part) {
    switch (part.type) {
      case "text":
        return part.text ? h("div", { class: "text" }, part.text) : null;
      case "reasoning":
        return reasoning(part.text).element;
      case "tool_call": {
        const drawn = toolCard(part.tool_name, part.args);
        this._calls.set(part.call_id, drawn);
        return drawn.element;
      }
      case "tool_result":
        this._calls.get(part.call_id)?.end(part.output);
        return null;
      case "attachment":
        return h("div", { class: "attachment" }, `📎 ${part.reference?.name ?? part.reference?.media_type ?? "attachment"}`);
      default:
        return null;
    }
  }

  // -- provisional -------------------------------------------------------------------------------------

  _begin(item) {
    const drawn = this._provisional(item);
    this._live.append(drawn.element);
    return drawn;
  }

  _provisional(item) {
    if (item.kind === "input") {
      const text = h("div", { class: "text" }, item.text || "…");
      return { element: bubble("user", null, [text]), update: (now) => now.text && (text.textContent = now.text) };
    }
    if (item.kind === "tool") {
      const card = toolCard(item.name, item.args);
      let version = -1;
      const update = (now) => {
        if (now.version === version) return;
        version = now.version;
        if (now.args !== undefined) card.args(now.args);
        if (now.progress !== undefined) card.progress(now.progress);
        if (now.output !== undefined) card.end(now.output);
      };
      update(item);
      return { element: bubble("assistant", null, [card.element]), update };
    }
    if (item.kind === "value") {
      return { element: bubble("assistant", null, [h("div", { class: "text" }, shown(item.value))]), update() {} };
    }
    const streamed = item.kind === "reasoning" ? reasoning(item.text) : prose(item.text);
    let length = item.text.length;
    const update = (now) => {
      if (now.text.length === length) return;
      streamed.node.appendData(now.text.slice(length));
      length = now.text.length;
    };
    return { element: bubble("assistant", null, [streamed.element]), update };
  }
}

const NAMES = { user: "User", assistant: "Agent", system: "System" };

function bubble(role, origin, parts, attributes = {}) {
  const name = origin ? `${NAMES[role] ?? role} · ${origin}` : (NAMES[role] ?? role);
  return h("li", { ...attributes, class: `message ${role}${origin ? " injected" : ""}` }, h("div", { class: "who" }, name), ...parts);
}

function prose(text) {
  const node = document.createTextNode(text);
  return { node, element: h("div", { class: "text" }, node) };
}

function reasoning(text) {
  const node = document.createTextNode(text);
  return { node, element: h("details", { class: "reasoning" }, h("summary", {}, "Thinking"), h("div", { class: "text" }, node)) };
}

function toolCard(name, args) {
  let called = args;
  const line = h("span", { class: "args" }, brief(args ?? ""));
  const mark = h("span", { class: "mark", role: "img", "aria-label": "running" }, "◌");
  const given = h("pre", {}, shown(args));
  const result = h("pre", { class: "result" }, "");
  const label = h("div", { class: "who", hidden: true }, "Result");
  const element = h(
    "details", { class: "tool running" },
    h("summary", {}, mark, h("code", {}, name), line),
    given, label, result,
  );
  return {
    element,
    args(value) {
      called = value;
      line.textContent = brief(value);
      given.textContent = shown(value);
    },
    progress(value) {
      line.textContent = brief(value);
    },
    end(output) {
      const good = output?.type === "success";
      element.className = `tool ${good ? "done" : "failed"}`;
      mark.textContent = good ? "✓" : "✕";
      mark.setAttribute("aria-label", good ? "done" : (output?.type ?? "failed"));
      label.hidden = false;
      const value = good ? output.value : (output?.message ?? output);
      result.textContent = shown(value);
      line.textContent = `${brief(called ?? "", 40)} → ${brief(value, 60)}`;
    },
  };
}
