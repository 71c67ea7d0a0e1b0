// The connection to the server that the page itself begins (index.html), before this script is here: the time that takes
// is the time the script needs to come.

declare global {
  interface Window {
    early?: { readonly url: string; readonly socket: WebSocket } | undefined;
  }
}

/** That connection, once, if it leads where it should; one that leads elsewhere is closed. */
export function takeEarly(url: string): WebSocket | undefined {
  const { early } = window;
  window.early = undefined;
  if (early === undefined) return undefined;
  const { socket } = early;
  if (early.url !== url || socket.readyState > WebSocket.OPEN) {
    socket.close();
    return undefined;
  }
  // Who takes it has not seen it open.
  if (socket.readyState === WebSocket.OPEN) queueMicrotask(() => socket.onopen?.(new Event("open")));
  return socket;
}
