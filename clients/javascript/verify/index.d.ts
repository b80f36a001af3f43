// Types of index.js.

/** What a valid token says. Times are in seconds since 1970; ids are UUIDs in lower case with hyphens. */
export interface Claims {
  /** The user. */
  readonly sub: string;
  readonly username: string;
  readonly roles: readonly string[];
  /** The login. */
  readonly sid: string;
  readonly jti: string;
  readonly iat: number;
  readonly exp: number;
  readonly nbf?: number;
  readonly client_id?: string;
  /** When the user last authenticated; if absent, that is unknown. */
  readonly auth_time?: number;
  /** `aal1`, or `aal2` for two factors. */
  readonly acr?: string;
  /** By which methods. */
  readonly amr?: readonly string[];
}

export interface Options {
  /** dualauth's JWT_ISSUER. */
  issuer: string;
  /** dualauth's JWT_AUDIENCE, or one of those that it names. */
  audience: string;
  /** Where dualauth is reached, if that is not the issuer. */
  url?: string;
  /** From `dualauth client create`. Without it there is no feed: a token is then valid until it expires. */
  clientId?: string;
  clientSecret?: string;
  /** Seconds for which what is known of revocations counts; 1 by default. */
  stalenessBound?: number;
  /** When it is older, tokens are refused with 503 (the default), or accepted unless they are known to be revoked. */
  whenStale?: "refuse" | "serve";
  /** Is told what an operator should know, such as that the feed is lost, or there again; `console` by default. */
  log?: { warn(message: string): void; info(message: string): void };
}

export type Code =
  | "not_authenticated" | "malformed_request" | "invalid_token" | "token_expired" | "token_revoked" | "unavailable";

/** Why a request is refused, and what to answer. */
export class VerificationError extends Error {
  readonly status: 400 | 401 | 503;
  readonly code: Code;
  readonly detail: string;
  readonly headers: Readonly<Record<string, string>>;
  /** The body, `application/problem+json` (RFC 9457). */
  readonly problem: { type: string; title: string; status: number; detail: string; code: Code };
}

/** Verifies access tokens. One is made for all requests. */
export class Verifier {
  constructor(options: Options);
  /** The claims of a request with these `Authorization` headers: none, one, or several. Throws a VerificationError. */
  authenticate(authorization: readonly string[]): Promise<Claims>;
  /** The claims of a valid token. Throws a VerificationError. Answers from memory, but for an unknown key and a changed owner. */
  verify(token: string): Promise<Claims>;
  /** Whether what is known of revocations is within the bound; without a feed, whether the keys are known. */
  fresh(): Promise<boolean>;
  /** Ends the following. A process that is to end by itself needs it. */
  close(): void;
}

/** A middleware for Express, Connect and the like: sets `request.auth` to the claims, or answers with a problem document. */
export function middleware(
  verifier: Verifier,
): (
  request: { headersDistinct: { authorization?: string[] }; auth?: Claims },
  response: { writeHead(status: number, headers: Record<string, string>): unknown; end(body: string): unknown },
  next: (error?: unknown) => void,
) => Promise<void>;
