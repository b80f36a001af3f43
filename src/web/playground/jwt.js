// Access tokens: decoding, and modified copies for the tampering actions.

export const HEADER_FIELDS = {
  alg: "Signature algorithm.",
  typ: "Token type: an access token (RFC 9068).",
  kid: "Id of the signing key.",
};

export const CLAIMS = {
  iss: "Issuer.",
  aud: "Audience: who accepts the token.",
  sub: "Subject: the user’s id.",
  iat: "Issued at.",
  exp: "Expires at. It can’t be changed without the signing key.",
  jti: "Id of this token.",
  sid: "Id of the login. When the login ends, this token is rejected too.",
  auth_time: "When the user last authenticated.",
  acr: "Authentication context class: how strong the authentication was.",
  amr: "Authentication methods that were used, such as pwd (RFC 8176).",
  username: "The username when the token was issued.",
  roles: "The user’s roles when the token was issued.",
};

export const TIME_CLAIMS = ["iat", "exp", "auth_time"];

function decodePart(part) {
  const binary = atob(part.replaceAll("-", "+").replaceAll("_", "/"));
  const octets = Uint8Array.from(binary, (letter) => letter.charCodeAt(0));
  return JSON.parse(new TextDecoder().decode(octets));
}

function encodePart(value) {
  const binary = String.fromCharCode(...new TextEncoder().encode(JSON.stringify(value)));
  return btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

export function decodeJwt(token) {
  const [header, claims, signature] = token.split(".");
  return { header: decodePart(header), claims: decodePart(claims), signature };
}

// A copy of the token with the role `admin` in its claims, and the range that differs.
export function withAdminRole(token) {
  const [header, claims, signature] = token.split(".");
  const forged = encodePart({ ...decodePart(claims), roles: ["admin"] });
  return { token: [header, forged, signature].join("."), highlight: [header.length + 1, header.length + 1 + forged.length] };
}

// A copy of the token with one character changed, in the middle of its signature or of the whole: the last character may
// have bits that are ignored.
export function withChangedCharacter(token) {
  const start = token.lastIndexOf(".") + 1;
  const position = start + Math.floor((token.length - start) / 2);
  const character = token[position] === "A" ? "B" : "A";
  return { token: token.slice(0, position) + character + token.slice(position + 1), highlight: [position, position + 1] };
}
