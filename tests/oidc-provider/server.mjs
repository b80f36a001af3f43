// An OpenID provider by oidc-provider for one test: node - PORT REDIRECT_URI SECONDS. A browser is asked who it is; any other program is somebody with
// the subject 17, without a question. Its clock is that many seconds ahead. A redirect URI at a loopback address stands for every port.
import Provider from "oidc-provider";

const [port, redirectUri, ahead] = process.argv.slice(2);
const now = Date.now;
Date.now = () => now() + Number(ahead) * 1000;

const emails = { 17: "ada@example.com", 18: "bea@example.org" };
const claims = (sub) => ({ sub, email: emails[sub], email_verified: true, preferred_username: emails[sub].split("@")[0] });
const isLoopback = redirectUri.startsWith("http:");
const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [{
    client_id: "our client", client_secret: "hunter2 & more", redirect_uris: [redirectUri],
    application_type: isLoopback ? "native" : "web",
  }],
  claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["preferred_username"] },
  cookies: { keys: ["only for tests"] },
  features: { devInteractions: { enabled: false } },
  findAccount: (_, id) => ({ accountId: id, claims: () => claims(id) }),
  interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
  pkce: { required: () => true },
});

const people = Object.entries(emails).map(([sub, email]) => `<p><a id="as-${sub}" href="?as=${sub}">${email}</a></p>`);
const question = `<!doctype html><html lang="en"><title>A provider</title><h1>Who are you?</h1>${people.join("")}<p><a id="deny" href="?denied=">Nobody</a></p>`;

provider.use(async (ctx, next) => {
  if (ctx.path === "/favicon.ico") return void (ctx.status = 204);
  if (!ctx.path.startsWith("/interaction/")) return next();
  const { prompt, params, session } = await provider.interactionDetails(ctx.req, ctx.res);
  const subject = ctx.query.as ?? (ctx.get("accept").includes("text/html") ? undefined : "17");
  let result = { login: { accountId: subject } };
  if (ctx.query.denied !== undefined) {
    result = { error: "access_denied" };
  } else if (prompt.name === "consent") {
    const grant = new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
    grant.addOIDCScope(params.scope);
    result = { consent: { grantId: await grant.save() } };
  } else if (subject === undefined) {
    ctx.body = question;
    return;
  }
  ctx.status = 303;
  ctx.set("location", await provider.interactionResult(ctx.req, ctx.res, result, { mergeWithLastSubmission: true }));
});

provider.listen(Number(port), "127.0.0.1");
