// A model of this server's cookies, which scripts can't read: their attributes, and which ones the browser should have.

import { BASE_PATH } from "./base-path.js";
import { secondsUntil } from "./clock.js";

const IS_HTTPS = location.protocol === "https:";

const COOKIES = {
  sessionid: { path: "/", sameSite: "Lax", content: "A random, signed session id. It contains no data: the server looks up the session." },
  access_token: { path: "/", sameSite: "Lax", content: "The access token: a JWT with all its claims." },
  refresh_token: { path: `${BASE_PATH}/jwt`, sameSite: "Strict", content: "The refresh token, which gets new access tokens." },
};

// The cookies' full names, with the server's prefixes.
const [sessionid, access_token, refresh_token] = document.querySelector("meta[name=cookie-names]").content.split(" ");
const NAMES = { sessionid, access_token, refresh_token };

const COOKIES_OF_MODE = { session: ["sessionid"], jwt: ["access_token", "refresh_token"] };

export const HIDDEN = "‹hidden›";

export const cookieName = (cookie) => NAMES[cookie];

// A Set-Cookie header. `maxAge` is in seconds; null for a cookie that ends with the browser session.
const setCookie = (cookie, maxAge) => {
  const { path, sameSite } = COOKIES[cookie];
  return {
    cookie,
    pair: `${cookieName(cookie)}=${HIDDEN}`,
    attributes: [
      "HttpOnly", `SameSite=${sameSite}`, ...(IS_HTTPS ? ["Secure"] : []), `Path=${path}`, ...(maxAge === null ? [] : [`Max-Age=${maxAge}`]),
    ],
  };
};

// The cookies that a login or refresh sets. With "remember me" they have the lifetime of their content.
export function cookiesSetBy(mode, { login, expires_in }) {
  return COOKIES_OF_MODE[mode].map((cookie) => {
    const lifetime = cookie === "access_token" ? expires_in : secondsUntil(login.expires_at);
    return setCookie(cookie, login.remember_me ? lifetime : null);
  });
}

// The cookies that a response clears when a login by cookie has ended.
export const cookiesClearedBy = (mode) =>
  COOKIES_OF_MODE[mode].map((cookie) => ({ ...setCookie(cookie, 0), pair: `${cookieName(cookie)}=`, isCleared: true }));

export const setCookieValue = ({ pair, attributes }) => [pair, ...attributes].join("; ");

export function explainSetCookie({ cookie, attributes }) {
  const maxAge = attributes.find((attribute) => attribute.startsWith("Max-Age"));
  const { path, sameSite, content } = COOKIES[cookie];
  return [
    [cookieName(cookie), content],
    ["HttpOnly", "Scripts can’t read it, so injected scripts (XSS) can’t steal it. This page can’t read it either: its value is hidden here."],
    [`SameSite=${sameSite}`, SAME_SITE[sameSite]],
    [`Path=${path}`, PATH[path]],
    attributes.includes("Secure")
      ? ["Secure", "Sent over HTTPS only. The prefix of the name makes the browser enforce this."]
      : ["no Secure", "This page was loaded over HTTP. Over HTTPS the cookie has Secure, and the prefix __Host- or __Secure-, so that other hosts can’t set it."],
    ["no Domain", "Sent to this host only, not to subdomains. If COOKIE_DOMAIN is set, which this page can’t see, the cookie has that Domain, and not the prefix __Host-."],
    maxAge
      ? [maxAge, "Lifetime in seconds. It persists when the browser is closed (“Remember me”)."]
      : ["no Max-Age", "A session cookie: deleted when the browser is closed."],
  ];
}

const SAME_SITE = {
  Lax: "Not sent with requests from other sites (forms, fetch, frames, images), except when the user follows a link to this site.",
  Strict: "Sent with requests from this site only.",
};

const PATH = {
  "/": "Sent with every request to this server.",
  [`${BASE_PATH}/jwt`]: `Sent only with requests below ${BASE_PATH}/jwt. Other routes never receive it.`,
};

// Which cookies the browser has, as recorded by this page, which can't read them. Only the names are stored, and survive a reload.
const STORAGE_KEY = "dualauth.playground.cookies";
const recorded = new Set(JSON.parse(sessionStorage.getItem(STORAGE_KEY) ?? "[]"));

export function recordCookieChanges(changes) {
  for (const { cookie, isCleared } of changes) {
    if (isCleared) recorded.delete(cookie);
    else recorded.add(cookie);
  }
  sessionStorage.setItem(STORAGE_KEY, JSON.stringify([...recorded]));
}

// Another page of this server has signed in.
export const recordCookiesOf = (mode) => recordCookieChanges(COOKIES_OF_MODE[mode].map((cookie) => ({ cookie })));

export const browserHas = (cookie) => recorded.has(cookie);

export const browserHasCookieOf = (mode) => COOKIES_OF_MODE[mode].some(browserHas);

// The cookies that the browser sends to a path (RFC 6265, section 5.4).
export const cookiesSentTo = (path) => [...recorded].filter((cookie) => COOKIES[cookie].path === "/" || path.startsWith("/jwt/"));

// Tries to overwrite a mode's cookie by script. Returns whether that succeeded.
export function tryOverwriteCookie(mode) {
  const name = cookieName(COOKIES_OF_MODE[mode][0]);
  const attributes = IS_HTTPS ? "; Path=/; Secure" : "; Path=/";
  document.cookie = `${name}=forged${attributes}`;
  const isVisible = document.cookie.split("; ").some((pair) => pair.startsWith(`${name}=`));
  if (isVisible) document.cookie = `${name}=${attributes}; Max-Age=0`;
  return isVisible;
}

// The lengths of the values in bytes. A signed session id has some percent-encoded characters, and is longer after a refresh,
// when it contains a generation; a JWT cookie is as long as the same user's JWT sent as a Bearer token.
const SESSION_ID_LENGTH = { login: 94, refresh: 121 };
const valueLengths = { sessionid: SESSION_ID_LENGTH.login, access_token: null, refresh_token: null };

export const setTokenLengths = ({ access_token, refresh_token }) =>
  Object.assign(valueLengths, { access_token: access_token.length, refresh_token: refresh_token.length });

// `issuedBy`: "login" or "refresh".
export const setSessionIdLength = (issuedBy) => Object.assign(valueLengths, { sessionid: SESSION_ID_LENGTH[issuedBy] });

// The size of the Cookie header with these cookies, including its name and line end.
export function cookieHeaderSize(cookies) {
  const sizes = cookies.map((cookie) => (valueLengths[cookie] === null ? NaN : cookieName(cookie).length + 1 + valueLengths[cookie]));
  const total = sizes.reduce((sum, size) => sum + size, "Cookie: \r\n".length + 2 * (cookies.length - 1));
  return Number.isNaN(total) ? "size of a JWT" : `about ${total} bytes`;
}
