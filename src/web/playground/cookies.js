// A model of this server's cookies, which scripts can't read: their attributes, and which ones the browser should hold.

import { BASE } from "./base.js";
import { secondsUntil } from "./clock.js";

const IS_HTTPS = location.protocol === "https:";

const KINDS = {
  sessionid: { path: "/", sameSite: "Lax", holds: "A random session id, signed. It says nothing: the server has to look it up." },
  access_token: { path: "/", sameSite: "Lax", holds: "The JWT itself, with all that it says." },
  refresh_token: { path: `${BASE}/jwt`, sameSite: "Strict", holds: "What buys the next access token." },
};

// The cookies' full names, with the server's prefixes.
const [sessionid, access_token, refresh_token] = document.querySelector("meta[name=cookie-names]").content.split(" ");
const NAMES = { sessionid, access_token, refresh_token };

const OF_MODE = { session: ["sessionid"], jwt: ["access_token", "refresh_token"] };

export const HIDDEN = "‹hidden›";

export const nameOf = (kind) => NAMES[kind];

// A cookie that sign-in or refresh sets.
const set = (kind, life) => {
  const { path, sameSite } = KINDS[kind];
  const lasting = life === null ? [] : [`Max-Age=${life}`];
  return {
    kind,
    pair: `${nameOf(kind)}=${HIDDEN}`,
    attributes: ["HttpOnly", `SameSite=${sameSite}`, ...(IS_HTTPS ? ["Secure"] : []), `Path=${path}`, ...lasting],
  };
};

// The cookies that such a response sets. With "remember me" they have the lifetime of their content.
export function setBy(mode, { login, expires_in }) {
  return OF_MODE[mode].map((kind) => {
    const life = kind === "access_token" ? expires_in : secondsUntil(login.expires_at);
    return set(kind, login.remember_me ? life : null);
  });
}

// The cookies that a response clears when a login by cookie has ended.
export const clearedBy = (mode) =>
  OF_MODE[mode].map((kind) => {
    const cookie = set(kind, 0);
    return { ...cookie, pair: `${nameOf(kind)}=`, isCleared: true };
  });

export const line = ({ pair, attributes }) => [pair, ...attributes].join("; ");

export function explanations({ kind, attributes }) {
  const has = (attribute) => attributes.includes(attribute);
  const life = attributes.find((attribute) => attribute.startsWith("Max-Age"));
  const { path, sameSite, holds } = KINDS[kind];
  return [
    [nameOf(kind), holds],
    ["HttpOnly", "No script may read it, so none can steal it. Not even this page: that is why its value is hidden here."],
    [`SameSite=${sameSite}`, SAME_SITE[sameSite]],
    [`Path=${path}`, PATH[path]],
    has("Secure")
      ? ["Secure", "It travels over https alone. The name's prefix has the browser insist on that."]
      : ["no Secure", "This page came over http. Over https the cookie is Secure, and its name begins with __Host- or __Secure-, so that nobody else can set it."],
    ["no Domain", "It goes back to this host alone, and to no subdomain. Unless whoever runs this has set COOKIE_DOMAIN, which this page can't see: then it has that Domain, and never the prefix __Host-."],
    life
      ? [life, "In seconds: it survives the browser's end, because you wanted to be remembered."]
      : ["no Max-Age", "The browser forgets it when it is closed."],
  ];
}

const SAME_SITE = {
  Lax: "Other sites can't have the browser send it with a POST form, a fetch, a frame or a picture; following a link to here does send it.",
  Strict: "It is sent from pages of this site alone.",
};

const PATH = {
  "/": "It goes along with every request to this server, wanted or not.",
  [`${BASE}/jwt`]: `It goes along below ${BASE}/jwt alone: no other route sees it.`,
};

// The cookies that the browser holds, as recorded by this page: it can't read them. Only the names survive a reload.
const BOOK = "dualauth.playground.cookies";
const held = new Set(JSON.parse(sessionStorage.getItem(BOOK) ?? "[]"));

export function keepBook(cookies) {
  for (const { kind, isCleared } of cookies) {
    if (isCleared) held.delete(kind);
    else held.add(kind);
  }
  sessionStorage.setItem(BOOK, JSON.stringify([...held]));
}

export const isHeld = (kind) => held.has(kind);

export const holdsAnyOf = (mode) => OF_MODE[mode].some(isHeld);

// The cookies that the browser sends to a path (RFC 6265, section 5.4).
export const sentTo = (path) => [...held].filter((kind) => KINDS[kind].path === "/" || path.startsWith("/jwt/"));

// Tries to overwrite a cookie by script. Returns whether that succeeded.
export function overwrite(mode) {
  const name = nameOf(OF_MODE[mode][0]);
  const rest = IS_HTTPS ? "; Path=/; Secure" : "; Path=/";
  document.cookie = `${name}=forged${rest}`;
  const isSeen = document.cookie.split("; ").some((pair) => pair.startsWith(`${name}=`));
  if (isSeen) document.cookie = `${name}=${rest}; Max-Age=0`;
  return isSeen;
}

// The lengths of the values. A signed session id has some percent-encoded characters, and is longer after a refresh, when it
// contains a generation; a JWT is as long as the same user's JWT by Bearer.
const SESSION_ID = { first: 94, later: 121 };
const lengths = { sessionid: SESSION_ID.first, access_token: null, refresh_token: null };

export const learnLengths = ({ access_token, refresh_token }) =>
  Object.assign(lengths, { access_token: access_token.length, refresh_token: refresh_token.length });

export const learnSessionId = (which) => Object.assign(lengths, { sessionid: SESSION_ID[which] });

// The size of the Cookie header with these cookies in bytes, its name and line end included.
export function sizeOf(kinds) {
  const each = kinds.map((kind) => (lengths[kind] === null ? NaN : nameOf(kind).length + 1 + lengths[kind]));
  const all = each.reduce((sum, size) => sum + size, "Cookie: \r\n".length + 2 * (kinds.length - 1));
  return Number.isNaN(all) ? "a whole JWT" : `about ${all} bytes`;
}
