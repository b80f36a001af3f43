// Passkeys and security keys, by the browser's own API (Web Authentication Level 3): the server's options go in as they came, and
// what comes out goes back as it is.

// An address of this machine has a name, too: there browsers have passkeys.
const LOOPBACK_ADDRESS = /^(127(\.\d+){3}|\[::1\])$/;
const ADDRESS = /^(\d+(\.\d+){3}|\[.*\])$/;

export const isAtAddress = ADDRESS.test(location.hostname);

// This page at `localhost`; null if its address is another machine's.
export function thisPageByName() {
  if (!LOOPBACK_ADDRESS.test(location.hostname)) return null;
  const url = new URL(location.href);
  url.hostname = "localhost";
  return url.href;
}

export const createPasskey = (options) =>
  answerOf("parseCreationOptionsFromJSON", options, (publicKey) => navigator.credentials.create({ publicKey }));

export const usePasskey = (options) =>
  answerOf("parseRequestOptionsFromJSON", options, (publicKey) => navigator.credentials.get({ publicKey }));

// Resolves to `{ passkey }`, the authenticator's answer as JSON, or to `{ problem }`: why there is none, in words.
async function answerOf(parser, options, ask) {
  const isSupported = typeof globalThis.PublicKeyCredential?.[parser] === "function";
  if (!isSupported) return { problem: UNSUPPORTED };
  try {
    const credential = await ask(PublicKeyCredential[parser](options));
    return { passkey: credential.toJSON() };
  } catch (error) {
    return { problem: { code: error.name, title: "The browser gave no answer", detail: EXPLANATIONS[error.name] ?? error.message } };
  }
}

const UNSUPPORTED = {
  code: "unsupported", title: "No passkeys here",
  detail: "This browser has none, or not on this page: they need https, or http://localhost, and a browser of 2025 or newer.",
};

// Browsers tell little, so that a page can’t find out which authenticators somebody has.
const EXPLANATIONS = {
  NotAllowedError: "It was cancelled, took too long, or no authenticator here fits: a passkey must be able to verify you by PIN, finger or face.",
  InvalidStateError: "This authenticator is enrolled already.",
  SecurityError: isAtAddress
    ? "This page was opened at an IP address. Passkeys need a name: open it by its name."
    : "This page’s address does not belong to the server’s passkeys: see its setting PASSKEY_RP_ID.",
  ConstraintError: "No authenticator here can do what is asked for.",
  NotSupportedError: "No authenticator here has an algorithm that the server takes.",
};
