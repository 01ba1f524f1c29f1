// Elements without markup: every text goes in as text, so nothing that a model, a tool or a user says is ever HTML.

/** `h("button", {class: "x", onclick: f, disabled: true}, "text", element)`. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** A JSON value for people: texts as they are, anything else indented. */
export function shown(value) {
  if (typeof value === "string") return value;
  return value === undefined ? "" : JSON.stringify(value, null, 2);
}

/** A JSON value in one short line. */
export function brief(value, length = 80) {
  let text = typeof value === "string" ? value : (JSON.stringify(value) ?? "");
  if (value && typeof value === "object" && !Array.isArray(value)) {
    text = Object.entries(value).map(([name, one]) => `${name}: ${typeof one === "string" ? one : JSON.stringify(one)}`).join(", ");
  }
  text = text.replace(/\s+/g, " ");
  return text.length > length ? `${text.slice(0, length - 1)}…` : text;
}

const RELATIVE = new Intl.RelativeTimeFormat("en", { numeric: "auto", style: "short" });
const STEPS = [["day", 86_400_000], ["hour", 3_600_000], ["minute", 60_000], ["second", 1_000]];

/** A time of the server, ms since the epoch: "3 min. ago". */
export function ago(ms) {
  if (!ms) return "";
  const passed = Math.min(0, ms - Date.now());
  const [unit, size] = STEPS.find(([, one]) => -passed >= one) ?? STEPS.at(-1);
  return RELATIVE.format(Math.round(passed / size), unit);
}

/** Run `paint` once, soon; also in a tab that is hidden, where no frame comes. */
export function painter(paint) {
  let asked = false;
  const run = () => {
    asked = false;
    paint();
  };
  return () => {
    if (asked) return;
    asked = true;
    if (document.hidden) setTimeout(run, 50);
    else requestAnimationFrame(run);
  };
}
