// People who don't exist, for whoever wants to look around first.

const CONSONANTS = "bdlmnrstvz";
const VOWELS = "aeio";

// By four random bytes, so that every letter is as likely as the next.
const pick = (letters) => letters[Math.floor((crypto.getRandomValues(new Uint32Array(1))[0] / 2 ** 32) * letters.length)];

const syllable = () => pick(CONSONANTS) + pick(VOWELS);

const word = () => syllable() + syllable() + syllable();

// Six words of 40³ each: 95 bits.
export const passphrase = () => Array.from({ length: 6 }, word).join(" ");

export function madeUp() {
  const username = `${word()}-${word()}`;
  return { username, email: `${username}@example.org`, password: passphrase() };
}
