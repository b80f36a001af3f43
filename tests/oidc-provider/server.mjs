// An OpenID provider by oidc-provider for one test: node server.mjs PORT REDIRECT_URI SECONDS. Whoever comes is signed in as somebody with
// the subject 17, without a question. Its clock is that many seconds ahead.
import Provider from "oidc-provider";

const [port, redirectUri, ahead] = process.argv.slice(2);
const now = Date.now;
Date.now = () => now() + Number(ahead) * 1000;

const claims = { sub: "17", email: "ada@example.com", email_verified: true, preferred_username: "ada" };
const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [{ client_id: "our client", client_secret: "hunter2 & more", redirect_uris: [redirectUri] }],
  claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["preferred_username"] },
  cookies: { keys: ["only for tests"] },
  features: { devInteractions: { enabled: false } },
  findAccount: (_, id) => ({ accountId: id, claims: () => claims }),
  interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
  pkce: { required: () => true },
});

provider.use(async (ctx, next) => {
  if (!ctx.path.startsWith("/interaction/")) return next();
  const { prompt, params, session } = await provider.interactionDetails(ctx.req, ctx.res);
  let result = { login: { accountId: claims.sub } };
  if (prompt.name === "consent") {
    const grant = new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
    grant.addOIDCScope(params.scope);
    result = { consent: { grantId: await grant.save() } };
  }
  ctx.status = 303;
  ctx.set("location", await provider.interactionResult(ctx.req, ctx.res, result, { mergeWithLastSubmission: true }));
});

provider.listen(Number(port), "127.0.0.1");
