// A sign-in that waits for its second factor. It is no login: there is nothing but the challenge to go on with.

let pending = null;

export const pendingSignIn = () => pending;

// `exchange`: with `second_factor_required` in its response. `user`: as entered. `credential`: which was to be logged in.
export function openSignIn({ problem }, { user, credential }) {
  const { challenge, methods, passkey, expires_at } = problem;
  pending = { token: challenge, methods, passkey, expiresAt: expires_at, user, credential };
}

export function closeSignIn() {
  pending = null;
}
