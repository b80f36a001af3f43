// "Sign in with…" on a page of an application that has another origin than dualauth: a session, by cookie.

const DUALAUTH = "http://localhost:8080";

const CODE = { label: "Code of your authenticator, or a recovery code", member: "code", type: "text" };
const PASSWORD = { label: "Somebody has an account with this address. Is it you? Its password links the two", member: "password", type: "password" };

// Where the provider sends the browser back to. It has to be of one of ALLOWED_ORIGINS, or in RETURN_TO.
const returnTo = location.origin + location.pathname;
const find = (id) => document.getElementById(id);

find("sign-out").addEventListener("click", signOut);
// The back button may show this page as it was when it was left.
addEventListener("pageshow", ({ persisted }) => persisted && showWhoIsThere());
// A link to this page with another fragment does not load it anew.
addEventListener("hashchange", start);
await start();

async function start() {
  const fragment = new URLSearchParams(location.hash.slice(1));
  // The code must neither stay in the address bar nor be used again by the back button.
  history.replaceState(null, "", returnTo);
  return fragment.has("challenge") ? comeBack(fragment) : showWhoIsThere();
}

async function showWhoIsThere(status = "You are not signed in.") {
  const profile = await call("GET", "/profile");
  return profile.ok ? showUser(profile.body.username) : showProviders(status);
}

async function showProviders(status) {
  const { body } = await call("GET", "/providers");
  show({ status, providers: true });
  find("providers").replaceChildren(...body.providers.map(providerButton));
}

function providerButton({ name, title }) {
  const button = document.createElement("button");
  button.textContent = `Sign in with ${title}`;
  button.addEventListener("click", () => leaveFor(name));
  return button;
}

async function leaveFor(provider) {
  const { ok, body } = await call("POST", "/challenges", { for: "login", method: provider, return_to: returnTo });
  if (!ok) return show({ status: body.detail, providers: true });
  // Kept by its id, so that two tabs don't mix theirs up. Without it the code that comes back is worth nothing.
  sessionStorage.setItem(body.id, body.challenge);
  location.assign(body.authorization_url);
}

// Only with the challenge that this very tab has kept: a callback that somebody else began signs nobody in.
async function comeBack(fragment) {
  const challenge = sessionStorage.getItem(fragment.get("challenge"));
  sessionStorage.removeItem(fragment.get("challenge"));
  if (!challenge) return showWhoIsThere("This sign-in was begun elsewhere. Begin again.");
  if (fragment.get("error") === "access_denied") return showWhoIsThere("You did not sign in there.");
  if (fragment.has("error")) return showWhoIsThere("The provider does not answer. Try again, or another one.");
  return signIn({ challenge, code: fragment.get("code") });
}

async function signIn(proof) {
  const { ok, body } = await call("POST", "/session/login", { ...proof, device_name: "A page" });
  if (ok) return showUser(body.user.username);
  if (body.code === "second_factor_required") return askFor(CODE, body.challenge);
  if (body.code === "link_required" && body.methods.includes("password")) return askFor(PASSWORD, body.challenge);
  if (body.code === "invalid_code" || body.code === "invalid_credentials") return askAgain(body.detail);
  return showProviders(body.detail);
}

function askFor({ label, member, type }, challenge) {
  askAgain("One more step.");
  document.querySelector("label[for=value]").textContent = label;
  find("value").type = type;
  find("proof").onsubmit = (event) => {
    event.preventDefault();
    signIn({ challenge, [member]: find("value").value });
  };
}

function askAgain(status) {
  show({ status, proof: true });
  find("value").value = "";
  find("value").focus();
}

async function signOut() {
  const { body } = await call("GET", "/session/csrf");
  await call("POST", "/session/logout", undefined, { "X-CSRF-Token": body.csrf_token });
  showWhoIsThere("You are signed out.");
}

function showUser(username) {
  show({ status: `You are signed in as ${username}.`, "sign-out": true });
}

function show({ status, ...visible }) {
  find("status").textContent = status;
  for (const id of ["providers", "proof", "sign-out"]) find(id).hidden = !visible[id];
}

async function call(method, path, body, headers = {}) {
  const json = body && { "Content-Type": "application/json" };
  // `include`: the cookie belongs to another origin of the same site.
  const response = await fetch(DUALAUTH + path, {
    method, headers: { ...json, ...headers }, body: body && JSON.stringify(body), credentials: "include",
  });
  const text = await response.text();
  return { ok: response.ok, body: text ? JSON.parse(text) : {} };
}
