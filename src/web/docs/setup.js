// Set-up of Swagger UI for both modes: cookies are sent automatically, and the CSRF header is added where needed.
//
// A CSRF token belongs to one login. The page stores the tokens from the responses of sign-in and refresh, one for each
// mode, in this tab's session storage; if it has none, it requests one from the mode's /csrf.

import { BASE } from "../playground/base.js";

const MODES = ["jwt", "session"]; // in the order in which shared routes look at the cookies
const SAFE = ["GET", "HEAD", "OPTIONS"];
const PROVEN = ["authorization", "x-csrf-token"]; // who sends one of these needs no header from us
const NEEDS_NO_LOGIN = /\/(login|register)$/;

const key = (mode) => `dualauth.csrf.${mode}`;

const modeAt = (path) => MODES.find((mode) => path.startsWith(`${BASE}/${mode}/`));

const modesOf = (path) => {
  const mode = modeAt(path);
  return mode ? [mode] : MODES;
};

async function csrfToken(mode) {
  const kept = sessionStorage.getItem(key(mode));
  if (kept) return kept;
  const response = await fetch(`${BASE}/${mode}/csrf`, { credentials: "same-origin" });
  return response.ok ? (await response.json()).csrf_token : null;
}

async function addCsrfHeader(request) {
  const url = new URL(request.url, location.href);
  const method = (request.method ?? "GET").toUpperCase();
  const needsNone = Object.keys(request.headers ?? {}).some((name) => PROVEN.includes(name.toLowerCase()));
  if (url.origin !== location.origin || SAFE.includes(method) || needsNone) return request;
  if (NEEDS_NO_LOGIN.test(url.pathname)) return request;
  for (const mode of modesOf(url.pathname)) {
    const token = await csrfToken(mode);
    if (token) {
      request.headers["X-CSRF-Token"] = token;
      break;
    }
  }
  return request;
}

function keepCsrfToken(response) {
  const path = new URL(response.url, location.href).pathname;
  const mode = modeAt(path);
  if (mode && response.obj?.csrf_token) sessionStorage.setItem(key(mode), response.obj.csrf_token);
  const over = endedBy(path, response);
  over.forEach((mode) => sessionStorage.removeItem(key(mode)));
  return response;
}

// The modes whose stored token became invalid by a request; in doubt the page requests a new one.
function endedBy(path, response) {
  if (response.obj?.code === "csrf_failed") return modesOf(path);
  if (!response.ok) return [];
  if (path.endsWith("/logout-all")) return MODES;
  return path.endsWith("/logout") ? modesOf(path) : [];
}

// Shows a closed padlock on routes for which a credential will be sent: a token from Authorize, or a cookie, which Swagger
// UI itself can't see. Routes that accept the credential in the body instead do not count.
const COOKIES = { session_cookie: "session", access_token_cookie: "jwt", refresh_token_cookie: "jwt" };

const isAuthorized = (_, system) => (state, requirements) => {
  const entered = system.authSelectors.authorized();
  const goesAlong = (scheme) => entered?.has(scheme) || (COOKIES[scheme] && sessionStorage.getItem(key(COOKIES[scheme])));
  return Boolean(requirements?.some((requirement) => requirement.size > 0 && requirement.keySeq().every(goesAlong)));
};

window.ui = SwaggerUIBundle({
  url: BASE + (new URLSearchParams(location.search).has("comparison") ? "/compare/openapi.json" : "/openapi.json"),
  dom_id: "#swagger-ui",
  presets: [SwaggerUIBundle.presets.apis],
  plugins: [{ statePlugins: { auth: { wrapSelectors: { isAuthorized } } } }],
  layout: "BaseLayout",
  deepLinking: true,
  tryItOutEnabled: true,
  withCredentials: true,
  persistAuthorization: true,
  displayRequestDuration: true,
  defaultModelsExpandDepth: 0,
  validatorUrl: null,
  requestInterceptor: addCsrfHeader,
  responseInterceptor: keepCsrfToken,
});
