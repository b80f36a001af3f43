// Every text of the page, in each language.

export const TEXTS = {
  en: {
    title: "Continue here",
    ask: (name) => `You are about to be signed in as ${name} in this browser. It is the same sign-in as on the device that made this link: whichever you sign out, both are.`,
    goOn: (name) => `Continue as ${name}`,
    hint: "If you did not ask for this a moment ago, close this page. Somebody may want you to use their account.",
    working: "One moment …",
    doneTitle: "You are signed in",
    done: (name) => `This browser is signed in as ${name}. You can close this page.`,
    incompleteTitle: "This link is not complete",
    incomplete: "Make a new link where you are signed in, and open that.",
    overTitle: "This link can’t be used any more",
    over: "It was used, or is older than a minute, or its sign-in has ended. Make a new one where you are signed in.",
    takenTitle: "There is nothing to hand off",
    taken: "This sign-in is in use in both ways already. Sign in here by yourself, or sign the other browser out.",
    weakTitle: "One more step is needed",
    weak: "This service asks for a second factor. Prove yours where you are signed in, then make a new link.",
    tooManyAttempts: "There were too many attempts. Wait a few minutes, then try again.",
    unreachable: "The service can’t be reached now. Check your connection, then try again.",
  },
  de: {
    title: "Hier weitermachen",
    ask: (name) => `Sie werden in diesem Browser als ${name} angemeldet. Es ist dieselbe Anmeldung wie auf dem Gerät, von dem dieser Link kommt: Wenn Sie sich dort oder hier abmelden, endet sie an beiden Orten.`,
    goOn: (name) => `Weiter als ${name}`,
    hint: "Wenn Sie diesen Link nicht gerade selbst erzeugt haben, schließen Sie diese Seite. Vielleicht möchte jemand, dass Sie ein fremdes Konto benutzen.",
    working: "Einen Moment …",
    doneTitle: "Sie sind angemeldet",
    done: (name) => `Dieser Browser ist als ${name} angemeldet. Sie können diese Seite schließen.`,
    incompleteTitle: "Dieser Link ist unvollständig",
    incomplete: "Erzeugen Sie dort, wo Sie angemeldet sind, einen neuen Link und öffnen Sie diesen.",
    overTitle: "Dieser Link gilt nicht mehr",
    over: "Er wurde benutzt, ist älter als eine Minute, oder die Anmeldung ist beendet. Erzeugen Sie dort, wo Sie angemeldet sind, einen neuen.",
    takenTitle: "Es gibt nichts zu übernehmen",
    taken: "Diese Anmeldung wird schon auf beide Arten benutzt. Melden Sie sich hier selbst an, oder melden Sie den anderen Browser ab.",
    weakTitle: "Ein Schritt fehlt noch",
    weak: "Dieser Dienst verlangt einen zweiten Faktor. Weisen Sie ihn dort nach, wo Sie angemeldet sind, und erzeugen Sie dann einen neuen Link.",
    tooManyAttempts: "Es waren zu viele Versuche. Warten Sie einige Minuten und versuchen Sie es dann noch einmal.",
    unreachable: "Der Dienst ist gerade nicht erreichbar. Prüfen Sie Ihre Verbindung und versuchen Sie es noch einmal.",
  },
};

export const language = /^de\b/i.test(navigator.language) ? "de" : "en";

export const texts = TEXTS[language];
