// Which screen is shown: `#/` the list, `#/session/<id>` one session, and before both a login where one is needed.

import { address, get, post } from "./api.js";
import { h } from "./dom.js";
import { SessionScreen } from "./session.js";
import { SessionsScreen } from "./sessions.js";

const root = document.getElementById("page");
let screen = null;
let access = { writes: true };

function show() {
  screen?.stop?.();
  const [, id] = location.hash.match(/^#\/session\/(.+)$/) ?? [];
  let sessionId;
  try {
    sessionId = id && decodeURIComponent(id);
  } catch {
    sessionId = id;
  }
  const options = { onRefused: login, canWrite: access.writes, onLogout: access.login ? logout : null };
  screen = sessionId ? new SessionScreen(sessionId, options) : new SessionsScreen(options);
  document.title = sessionId ? `${sessionId} · lash` : "lash sessions";
  root.replaceChildren(screen.element);
  screen.start();
}

function login() {
  screen?.stop?.();
  screen = null;
  const token = h("input", { type: "password", name: "token", autocomplete: "current-password", "aria-label": "Token", placeholder: "Token", required: true });
  const notice = h("p", { class: "notice error", role: "alert", hidden: true });
  const submit = async (event) => {
    event.preventDefault();
    try {
      await post(address("login"), { token: token.value });
      await begin();
    } catch (failure) {
      notice.textContent = failure.message;
      notice.hidden = false;
      token.select();
    }
  };
  document.title = "lash";
  root.replaceChildren(
    h(
      "section", { class: "login" },
      h("h1", {}, "lash"),
      h("form", { onsubmit: submit }, h("p", {}, "This server asks for its token."), token, h("button", { type: "submit" }, "Log in"), notice),
    ),
  );
  token.focus();
}

async function logout() {
  await post(address("logout"));
  login();
}

async function begin() {
  try {
    access = await get(address("access"));
  } catch {
    // It may be starting: the screens say what is wrong and try again.
  }
  if (access.login && !access.authenticated) login();
  else show();
}

window.addEventListener("hashchange", show);
begin();
