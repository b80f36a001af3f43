// Access tokens: decoding, and modified copies for the attacks.

export const HEADER = {
  alg: "How it is signed.",
  typ: "What it is: an access token, and nothing else that this server signs.",
  kid: "Which key signed it.",
};

export const CLAIMS = {
  iss: "Who issued it.",
  aud: "Whom it is for.",
  sub: "The user.",
  iat: "When it was signed.",
  exp: "When it runs out. It says so itself, and nobody can change that without the key.",
  jti: "Its own number.",
  sid: "The login that it is a snapshot of. By this it can be revoked all the same.",
  username: "The user's name when it was signed.",
  roles: "What the user might do when it was signed.",
};

function read(part) {
  const binary = atob(part.replaceAll("-", "+").replaceAll("_", "/"));
  const octets = Uint8Array.from(binary, (letter) => letter.charCodeAt(0));
  return JSON.parse(new TextDecoder().decode(octets));
}

function write(value) {
  const binary = String.fromCharCode(...new TextEncoder().encode(JSON.stringify(value)));
  return btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

export function decode(token) {
  const [header, claims, signature] = token.split(".");
  return { header: read(header), claims: read(claims), signature };
}

// A copy of the token with the role `admin` in its claims, and the range that differs.
export function asAdministrator(token) {
  const [header, claims, signature] = token.split(".");
  const forged = write({ ...read(claims), roles: ["admin"] });
  return { token: [header, forged, signature].join("."), mark: [header.length + 1, header.length + 1 + forged.length] };
}

// A copy of the token with one character changed, in the middle of its signature or of the whole: the last character may
// have bits that are ignored.
export function withASlip(token) {
  const start = token.lastIndexOf(".") + 1;
  const place = start + Math.floor((token.length - start) / 2);
  const other = token[place] === "A" ? "B" : "A";
  return { token: token.slice(0, place) + other + token.slice(place + 1), mark: [place, place + 1] };
}
