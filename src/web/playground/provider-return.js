// Where a provider sends the other tab back to: hands the fragment to the playground, which alone has the other half.

import { byId } from "./dom.js";
import { handOver } from "./provider-return-channel.js";

const { challenge, code, error } = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
// Out of the address bar, and of the history.
history.replaceState(null, "", location.pathname);
if (challenge) {
  handOver({ challenge, code, error });
  const what = error ? `It came with an error, ${error}.` : "The code came in the fragment, and is one half: it signs nobody in by itself.";
  byId("returned").textContent = `${what} The playground goes on in the tab that has the other half. This one can be closed.`;
}
