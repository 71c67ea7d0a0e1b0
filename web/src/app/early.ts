// The connection to the server that the page itself begins (index.html), and the login on it, before this script is here: the
// time that takes is the time the script needs to come.

import type { Socket } from "../protocol/stream";

export interface Early {
  readonly url: string;
  readonly socket: WebSocket;
  /** What the page has said on it, and what came. */
  readonly said: readonly string[];
  readonly heard: readonly string[];
}

declare global {
  interface Window {
    early?: Early | undefined;
  }
}

/** That connection, once, if it leads where it should; one that leads elsewhere is closed. */
export function takeEarly(url: string): Socket | undefined {
  const { early } = window;
  window.early = undefined;
  if (early === undefined) return undefined;
  const { socket } = early;
  if (early.url !== url || socket.readyState > WebSocket.OPEN) {
    socket.close();
    return undefined;
  }
  if (early.said.length > 0) return goOn(early);
  // Who takes it has not seen it open.
  if (socket.readyState === WebSocket.OPEN) queueMicrotask(() => socket.onopen?.(new Event("open")));
  return socket;
}

/**
 * A connection on which the page has begun. To who takes it, it opens now: what it is to say was said already, and then it
 * hears what came. If it is to say something else it is of no use.
 */
function goOn({ socket, said, heard }: Early): Socket {
  const ahead = [...said];
  const taken: Socket = {
    onopen: null,
    onmessage: null,
    onclose: null,
    onerror: null,
    send(data) {
      const next = ahead.shift();
      if (next === undefined) socket.send(data);
      else if (next !== data) socket.close();
    },
    close: (code) => socket.close(code),
  };
  const missed = [...heard];
  socket.onmessage = ({ data }) => missed.push(data);
  socket.onclose = () => taken.onclose?.(undefined as never);
  socket.onerror = () => taken.onerror?.(undefined as never);
  queueMicrotask(() => {
    taken.onopen?.(undefined as never);
    for (const data of missed) taken.onmessage?.({ data } as MessageEvent);
    socket.onmessage = (event) => taken.onmessage?.(event);
  });
  return taken;
}
