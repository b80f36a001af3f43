// Setup of Swagger UI for both modes: cookies are sent automatically, and the CSRF header is added where needed.
//
// A CSRF token belongs to one login. The page stores the tokens from the responses of login and refresh, one for each mode,
// in this tab's session storage; if it has none, it requests one from the mode's /csrf.

import { BASE_PATH } from "../playground/base-path.js";

const MODES = ["jwt", "session"]; // in the order of precedence of the cookies on shared routes
const SAFE_METHODS = ["GET", "HEAD", "OPTIONS"];
const CREDENTIAL_HEADERS = ["authorization", "x-csrf-token"]; // a request with one of these needs no CSRF header
const ROUTES_WITHOUT_LOGIN = /\/(login|register|password\/reset)$/;

const storageKey = (mode) => `dualauth.csrf.${mode}`;

const modeOfPath = (path) => MODES.find((mode) => path.startsWith(`${BASE_PATH}/${mode}/`));

// The modes whose cookies a route accepts: on shared routes all.
const acceptedModes = (path) => {
  const mode = modeOfPath(path);
  return mode ? [mode] : MODES;
};

async function csrfToken(mode) {
  const stored = sessionStorage.getItem(storageKey(mode));
  if (stored) return stored;
  const response = await fetch(`${BASE_PATH}/${mode}/csrf`, { credentials: "same-origin" });
  return response.ok ? (await response.json()).csrf_token : null;
}

async function addCsrfHeader(request) {
  const url = new URL(request.url, location.href);
  const method = (request.method ?? "GET").toUpperCase();
  const hasCredential = Object.keys(request.headers ?? {}).some((name) => CREDENTIAL_HEADERS.includes(name.toLowerCase()));
  if (url.origin !== location.origin || SAFE_METHODS.includes(method) || hasCredential) return request;
  if (ROUTES_WITHOUT_LOGIN.test(url.pathname)) return request;
  for (const mode of acceptedModes(url.pathname)) {
    const token = await csrfToken(mode);
    if (token) {
      request.headers["X-CSRF-Token"] = token;
      break;
    }
  }
  return request;
}

function storeCsrfToken(response) {
  const path = new URL(response.url, location.href).pathname;
  const mode = modeOfPath(path);
  if (mode && response.obj?.csrf_token) sessionStorage.setItem(storageKey(mode), response.obj.csrf_token);
  invalidatedModes(path, response).forEach((mode) => sessionStorage.removeItem(storageKey(mode)));
  return response;
}

// The modes whose stored CSRF token a request may have invalidated: the page then requests a new one.
function invalidatedModes(path, response) {
  if (response.obj?.code === "csrf_failed") return acceptedModes(path);
  if (!response.ok) return [];
  if (/\/(logout-all|password\/reset)$/.test(path)) return MODES;
  return path.endsWith("/logout") ? acceptedModes(path) : [];
}

// Shows a closed padlock on routes for which a credential will be sent: a token from Authorize, or a cookie, which Swagger
// UI itself can't see. Routes that accept the credential in the body instead do not count.
const COOKIE_SCHEMES = { session_cookie: "session", access_token_cookie: "jwt", refresh_token_cookie: "jwt" };

const isAuthorized = (_, system) => (state, requirements) => {
  const authorized = system.authSelectors.authorized();
  const hasCookie = (scheme) => COOKIE_SCHEMES[scheme] && sessionStorage.getItem(storageKey(COOKIE_SCHEMES[scheme]));
  const isSent = (scheme) => authorized?.has(scheme) || hasCookie(scheme);
  return Boolean(requirements?.some((requirement) => requirement.size > 0 && requirement.keySeq().every(isSent)));
};

window.ui = SwaggerUIBundle({
  url: BASE_PATH + (new URLSearchParams(location.search).has("comparison") ? "/compare/openapi.json" : "/openapi.json"),
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
  responseInterceptor: storeCsrfToken,
});
