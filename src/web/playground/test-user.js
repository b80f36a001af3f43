// Random users for trying the playground without typing.

const CONSONANTS = "bdlmnrstvz";
const VOWELS = "aeio";

// From four random bytes, so that the bias is negligible.
const pick = (letters) => letters[Math.floor((crypto.getRandomValues(new Uint32Array(1))[0] / 2 ** 32) * letters.length)];

const syllable = () => pick(CONSONANTS) + pick(VOWELS);

const word = () => syllable() + syllable() + syllable();

// Six words of 40³ possibilities each: 95 bits of entropy.
export const randomPassphrase = () => Array.from({ length: 6 }, word).join(" ");

export function randomUser() {
  const username = `${word()}-${word()}`;
  return { username, email: `${username}@example.org`, password: randomPassphrase() };
}
