// The ways to the server: a WebSocket, and plain HTTP requests where something in between knows no WebSockets.

import type { Clock } from "./clock";
import type { Socket } from "./stream";

export interface Ways {
  readonly webSocket: (url: string, protocol: string) => Socket;
  /** Address for HTTP requests; undefined if the server has none. */
  readonly boshUrl: string | undefined;
  readonly bosh: (url: string) => Socket;
  readonly clock: Clock;
}

/** How long a server keeps a session that can be resumed over a WebSocket, in milliseconds. */
const KEPT = 60_000;

/** Opens connections, the other way after one along which nothing came back. */
export class Transports {
  private readonly ways: Ways;
  private viaBosh = false;
  private failingSince: number | undefined;

  constructor(ways: Ways) {
    this.ways = ways;
  }

  /** @param url of the WebSocket, with its parameters */
  readonly open = (url: string, protocol: string): Socket => {
    const { webSocket, bosh, boshUrl, clock } = this.ways;
    const resuming = new URL(url).searchParams.has("previd");
    const socket =
      this.viaBosh && boshUrl !== undefined ? bosh(withQuery(boshUrl, url)) : webSocket(url, protocol);
    return watch(socket, (heard) => {
      const now = clock.now();
      this.failingSince = heard ? undefined : (this.failingSince ?? now);
      if (this.failingSince === undefined || boshUrl === undefined) return;
      // A session is worth waiting for: over HTTP it could not be resumed.
      if (!resuming || now - this.failingSince > KEPT) this.viaBosh = !this.viaBosh;
    });
  };
}

/** The parameters of the one address for the other; a session to resume is not named. */
function withQuery(base: string, url: string): string {
  const parameters = url.includes("?") ? url.slice(url.indexOf("?") + 1).split("&") : [];
  const kept = parameters.filter((p) => p !== "" && !p.startsWith("previd="));
  if (kept.length === 0) return base;
  return `${base}${base.includes("?") ? "&" : "?"}${kept.join("&")}`;
}

/** Tells once whether anything came from the other end before this one was given up. */
function watch(socket: Socket, tell: (heard: boolean) => void): Socket {
  let told = false;
  const once = (heard: boolean): void => {
    if (told) return;
    told = true;
    tell(heard);
  };
  const watched: Socket = {
    onopen: null,
    onmessage: null,
    onclose: null,
    onerror: null,
    sequential: socket.sequential ?? false,
    send: (data) => socket.send(data),
    close: (code) => {
      once(false);
      socket.close(code);
    },
  };
  socket.onopen = (event) => watched.onopen?.(event);
  socket.onmessage = (event) => {
    once(true);
    watched.onmessage?.(event);
  };
  socket.onclose = (event) => {
    once(false);
    watched.onclose?.(event);
  };
  socket.onerror = (event) => {
    once(false);
    watched.onerror?.(event);
  };
  return watched;
}
