// A client that openapi-typescript has typed, in both modes by both transports: it signs in, reads, refreshes and signs
// out. What the document does not say of an answer, `tsc --strict` does not let it read.
//
// node client.js URL

import createClient, { type Middleware } from "openapi-fetch";
import type { components, paths } from "./api.js";

type Schemas = components["schemas"];
type Login = Schemas["SessionBody"] | Schemas["JwtBody"];

const url = process.argv[2] ?? "";
const name = `typescript-${Date.now()}`;
const password = "a quiet lantern over the weir";

function assert(condition: unknown, what: string): asserts condition {
  if (!condition) throw new Error(what);
}

/** Keeps cookies, which `fetch` leaves to browsers. */
function cookieJar(): Middleware {
  const cookies = new Map<string, string>();
  return {
    onRequest({ request }) {
      const pairs = [...cookies].map(([cookie, value]) => `${cookie}=${value}`);
      if (pairs.length) request.headers.set("Cookie", pairs.join("; "));
      return request;
    },
    onResponse({ response }) {
      for (const line of response.headers.getSetCookie()) {
        const [, cookie = "", value = ""] = /^([^=]+)=([^;]*)/.exec(line) ?? [];
        if (value) cookies.set(cookie, value);
        else cookies.delete(cookie);
      }
      return undefined;
    },
  };
}

/** What a request has to show, told by the kind of the login alone. */
function shown(login: Login): { Authorization?: string; "X-CSRF-Token"?: string } {
  switch (login.kind) {
    case "session_bearer":
      return { Authorization: `${login.token_type} ${login.session_token}` };
    case "jwt_bearer":
      return { Authorization: `${login.token_type} ${login.access_token}` };
    case "session_cookie":
    case "jwt_cookie":
      // @ts-expect-error: no token is in the body of what travels by cookie.
      login.token_type;
      return { "X-CSRF-Token": login.csrf_token };
  }
}

async function visit(mode: Schemas["Mode"], transport: Schemas["Transport"]) {
  const what = `${mode} by ${transport}`;
  const client = createClient<paths>({ baseUrl: url });
  client.use(cookieJar());

  const signedIn = await client.POST(`/${mode}/login`, { body: { username: name, password, transport } });
  assert(signedIn.data, `${what}: ${signedIn.error?.code}`);
  assert(signedIn.data.kind === `${mode}_${transport}`, `${what}: ${signedIn.data.kind}`);

  const read = async (login: Login) => {
    const profile = await client.GET(`/${mode}/profile`, { headers: shown(login) });
    assert(profile.data?.username === name, `${what}: the profile`);
    assert(profile.data.auth.login_id === login.login.id, `${what}: the login`);
  };
  await read(signedIn.data);

  const refreshed = await refresh(client, signedIn.data);
  assert(refreshed.login.id === signedIn.data.login.id, `${what}: the same login`);
  await read(refreshed);

  const signedOut = await client.POST(`/${mode}/logout`, { headers: shown(refreshed) });
  assert(signedOut.response.status === 204, `${what}: ${signedOut.error?.code}`);
  const gone = await client.GET(`/${mode}/profile`, { headers: shown(refreshed) });
  const codes: Schemas["Code"][] = ["session_expired", "token_revoked", "not_authenticated"];
  assert(gone.error && codes.includes(gone.error.code), `${what}: ${gone.error?.code}`);
}

async function refresh(client: ReturnType<typeof createClient<paths>>, login: Login): Promise<Login> {
  const answer =
    login.kind === "jwt_bearer"
      ? await client.POST("/jwt/refresh", { body: { refresh_token: login.refresh_token } })
      : await client.POST(`/${login.login.mode}/refresh`, { headers: shown(login) });
  assert(answer.data, `refresh: ${answer.error?.code}`);
  return answer.data;
}

const account = { username: name, email: `${name}@example.org`, password };
const registered = await createClient<paths>({ baseUrl: url }).POST("/session/register", { body: account });
assert(registered.data, `register: ${registered.error?.code}`);
for (const mode of ["session", "jwt"] as const) {
  for (const transport of ["cookie", "bearer"] as const) {
    await visit(mode, transport);
    console.log(`${mode} ${transport}`);
  }
}
