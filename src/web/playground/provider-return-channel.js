// What the tab that was at a provider tells the playground, on the same origin.

const NAME = "dualauth.provider-return";

export function handOver(returned) {
  new BroadcastChannel(NAME).postMessage(returned);
}

export function watchReturns(onReturn) {
  new BroadcastChannel(NAME).addEventListener("message", ({ data }) => onReturn(data));
}
