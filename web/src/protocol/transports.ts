// The ways to the server: a WebSocket, and plain HTTP requests where something in between knows no WebSockets.

import type { Clock } from "./clock";
import type { Socket } from "./stream";

export interface Ways {
  readonly webSocket: (url: string, protocol: string) => Socket;
  /** Address for HTTP requests; undefined if the server has none. */
  readonly boshUrl: string | undefined;
  readonly bosh: (url: string) => Socket;
  /** Whether the server answers a plain HTTP request at this address. */
  readonly answers: (url: string) => Promise<boolean>;
  readonly clock: Clock;
}

/** How long a server keeps a session that can be resumed over a WebSocket, in milliseconds. */
const KEPT = 60_000;

/**
 * Opens connections, the other way after one along which nothing came back. A WebSocket that once worked is left only
 * for a network that lets plain requests through and WebSockets not: while nothing at all gets through, the one way
 * says no more than the other, and who comes back by HTTP would stay there.
 */
export class Transports {
  private readonly ways: Ways;
  private viaBosh = false;
  private failingSince: number | undefined;
  /** Whether a WebSocket worked since HTTP was last chosen. */
  private proven = false;
  private asking = false;
  /** Since when plain requests are known to get through although WebSockets fail. */
  private answeredAt: number | undefined;

  constructor(ways: Ways) {
    this.ways = ways;
  }

  /** @param url of the WebSocket, with its parameters */
  readonly open = (url: string, protocol: string): Socket => {
    const { webSocket, bosh, boshUrl, clock } = this.ways;
    const resuming = new URL(url).searchParams.has("previd");
    const openedAt = clock.now();
    const viaBosh = this.viaBosh && boshUrl !== undefined;
    const socket = viaBosh ? bosh(withQuery(boshUrl, url)) : webSocket(url, protocol);
    return watch(socket, (heard) => {
      if (heard) this.onHeard(viaBosh);
      else if (boshUrl !== undefined) this.onFailed(boshUrl, resuming, openedAt);
    });
  };

  private onHeard(viaBosh: boolean): void {
    this.failingSince = undefined;
    this.answeredAt = undefined;
    this.proven = !viaBosh;
  }

  private onFailed(boshUrl: string, resuming: boolean, openedAt: number): void {
    const now = this.ways.clock.now();
    this.failingSince ??= now;
    // A session is worth waiting for: over HTTP it could not be resumed.
    if (resuming && now - this.failingSince <= KEPT) return;
    if (!this.proven) {
      this.viaBosh = !this.viaBosh;
    } else if (this.answeredAt !== undefined && openedAt >= this.answeredAt) {
      this.proven = false;
      this.viaBosh = true;
    } else {
      void this.ask(boshUrl);
    }
  }

  private async ask(boshUrl: string): Promise<void> {
    if (this.asking) return;
    this.asking = true;
    const answers = await this.ways.answers(boshUrl);
    this.asking = false;
    // The WebSocket may have come back meanwhile.
    if (answers && this.failingSince !== undefined) this.answeredAt = this.ways.clock.now();
  }
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
