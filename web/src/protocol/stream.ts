// One XMPP connection over WebSocket (RFC 7395): login, binding, stream management with resumption
// (XEP-0198), pings and IQ replies. It reconnects by itself and says whether the session survived.

import type { Clock, Timer } from "./clock";
import { Emitter } from "./emitter";
import { ProtocolError, stanzaError } from "./errors";
import { randomHex } from "./ids";
import { NS } from "./ns";
import { child, children, el, parse, serialize, text, type XmlElement } from "./xml";

/** The part of the browser's WebSocket that is used. */
export interface Socket {
  onopen: ((event: never) => void) | null;
  onmessage: ((event: MessageEvent) => void) | null;
  onclose: ((event: never) => void) | null;
  onerror: ((event: never) => void) | null;
  send(data: string): void;
  close(code?: number): void;
  /** Nothing may be sent before the last question is answered, and a session cannot be resumed over it. */
  readonly sequential?: boolean;
}

export interface StreamOptions {
  /** Absolute `ws:` or `wss:` address, with its parameters. */
  readonly url: string;
  readonly domain: string;
  readonly clock: Clock;
  readonly openSocket: (url: string, protocol: string) => Socket;
  readonly resume: boolean;
  /** Send the whole login at once. Only for servers known to work off frames in order. */
  readonly pipelined: boolean;
  readonly ping: { readonly interval: number; readonly timeout: number; readonly threshold: number };
  /** Random number in [0, 1), for jitter. */
  readonly random: () => number;
}

export type StreamState = "connecting" | "online" | "reconnecting" | "closed";

export interface StreamEvents {
  state: StreamState;
  /** Logged in. Unless `resumed`, everything the server knew of us is gone. */
  online: { jid: string; resumed: boolean };
  stanza: XmlElement;
  /** The connection cannot be had and will not be tried again. */
  failed: ProtocolError;
}

interface PendingIq {
  readonly resolve: (result: XmlElement) => void;
  readonly reject: (error: ProtocolError) => void;
  readonly timer: Timer;
}

type Phase = "idle" | "opening" | "authenticating" | "restarting" | "binding" | "resuming" | "bound";

const IQ_TIMEOUT = 10_000;
/** With the longest wait, a network that is back is noticed within five seconds: a lost SYN is sent again at 1, 3, 7 s. */
const HANDSHAKE_TIMEOUT = 8_000;
const MAX_BACKOFF = 2_000;
/** A connection that held this long was a good one: the next loss is the first of a row again. */
const STABLE = 5_000;
/** Silence of the server after a question asked because something seemed wrong. */
const CHECK_TIMEOUT = 4_000;
/** The same when the network is known to have changed: a new connection costs less than waiting for a dead one. */
export const QUICK_CHECK = 250;
/** An attempt to connect that is older than this is begun anew when the network is said to be back. */
const STALE_ATTEMPT = 500;
const ACK_EVERY = 5;
/** First attempts that may fail before the page is told; later losses retry for ever. */
const FIRST_ATTEMPTS = 3;

export class XmppStream extends Emitter<StreamEvents> {
  jid = "";
  state: StreamState = "closed";

  private readonly options: StreamOptions;
  private socket: Socket | undefined;
  private phase: Phase = "idle";
  private url: string;
  private attempts = 0;
  private everOnline = false;
  private retryTimer: Timer | undefined;
  private handshakeTimer: Timer | undefined;
  private pingTimer: Timer | undefined;
  private pingsMissed = 0;
  private heardAt = 0;
  private framesHeard = 0;
  private openedAt = 0;
  private boundAt = 0;
  private checkUntil = 0;
  private checkTimer: Timer | undefined;
  private readonly iqs = new Map<string, PendingIq>();
  /** Sent before login, or while there is no connection to resume. */
  private queue: XmlElement[] = [];
  // Stream management (XEP-0198).
  private smId: string | undefined;
  private smOn = false;
  private counting = false;
  private received = 0;
  /** Frames that could not be parsed. */
  private unreadable = 0;
  private acked = 0;
  private unacked: XmlElement[] = [];
  private sinceAckRequest = 0;

  constructor(options: StreamOptions) {
    super();
    this.options = options;
    this.url = options.url;
  }

  connect(): void {
    if (this.state !== "closed") return;
    this.setState("connecting");
    this.openSocket();
  }

  /** Ends the connection for good, politely if it is up. */
  close(): void {
    if (this.socket !== undefined && this.phase === "bound") {
      this.write(el("close", NS.framing));
    }
    this.finish();
    this.setState("closed");
  }

  /**
   * Something says that the network may be gone, or back: asks the server, or tries to reach it, at once.
   *
   * @param patience how long the server may be silent before the connection is made anew, milliseconds
   */
  check(patience = CHECK_TIMEOUT): void {
    const { clock } = this.options;
    if (this.retryTimer !== undefined) {
      clock.clearTimeout(this.retryTimer);
      this.retryTimer = undefined;
      this.openSocket();
    } else if (this.phase === "bound") {
      this.askForLife(patience);
    } else if (this.phase === "opening" && clock.now() - this.openedAt > STALE_ATTEMPT) {
      this.detach();
      this.openSocket();
    }
  }

  /** Drops the socket as if the network had failed; the session is then resumed. */
  interrupt(): void {
    this.onClose(this.socket);
  }

  send(stanza: XmlElement): void {
    if (this.state === "closed") return;
    if (this.phase === "bound") this.transmit(stanza);
    else if (this.smId !== undefined) this.unacked.push(stanza);
    else this.queue.push(stanza);
  }

  /** Sends an IQ and waits for its reply; an error reply rejects with code `stanza`. */
  iq(
    type: "get" | "set",
    to: string | undefined,
    payload: XmlElement,
    timeout = IQ_TIMEOUT,
  ): Promise<XmlElement> {
    const id = randomHex(16);
    return new Promise((resolve, reject) => {
      const timer = this.options.clock.setTimeout(() => {
        this.iqs.delete(id);
        reject(new ProtocolError("timeout", "", payload.name));
      }, timeout);
      this.iqs.set(id, { resolve, reject, timer });
      this.send(el("iq", NS.client, { type, id, to }, payload));
    });
  }

  // --- socket -------------------------------------------------------------------------------

  private openSocket(): void {
    this.phase = "opening";
    this.openedAt = this.options.clock.now();
    const socket = this.options.openSocket(this.addressToTry(), "xmpp");
    this.socket = socket;
    socket.onopen = () => {
      if (socket === this.socket) this.startLogin();
    };
    socket.onmessage = (event) => {
      if (socket === this.socket) this.onFrame(String(event.data));
    };
    socket.onclose = () => this.onClose(socket);
    socket.onerror = () => this.onClose(socket);
    this.handshakeTimer = this.options.clock.setTimeout(() => this.onClose(socket), HANDSHAKE_TIMEOUT);
  }

  private addressToTry(): string {
    if (this.smId === undefined) return this.url;
    return `${this.url}${this.url.includes("?") ? "&" : "?"}previd=${this.smId}`;
  }

  private get pipelined(): boolean {
    return this.options.pipelined && this.socket?.sequential !== true;
  }

  private startLogin(): void {
    this.writeOpen();
    if (!this.pipelined) return;
    this.writeAuth();
    this.writeOpen();
    if (this.smId === undefined) this.writeBind();
    else this.writeResume(this.smId);
  }

  private writeAuth(): void {
    this.write(el("auth", NS.sasl, { mechanism: "ANONYMOUS" }));
  }

  private writeBind(): void {
    this.write(el("iq", NS.client, { type: "set", id: "bind" }, el("bind", NS.bind)));
  }

  private writeResume(previd: string): void {
    this.write(el("resume", NS.sm, { h: this.received, previd }));
  }

  private writeOpen(): void {
    this.write(el("open", NS.framing, { to: this.options.domain, version: "1.0" }));
  }

  private write(element: XmlElement): void {
    try {
      this.socket?.send(serialize(element));
    } catch {
      this.onClose(this.socket);
    }
  }

  private onClose(socket: Socket | undefined): void {
    if (socket === undefined || socket !== this.socket) return;
    const { clock, random } = this.options;
    if (this.phase === "bound" && clock.now() - this.boundAt >= STABLE) this.attempts = 0;
    this.detach();
    if (this.state === "closed") return;
    this.attempts += 1;
    if (!this.everOnline && this.attempts >= FIRST_ATTEMPTS) {
      this.fail(new ProtocolError("connection-failed"));
      return;
    }
    if (this.state === "online") this.setState("reconnecting");
    // The first retry is quick: most losses are a moved network, not a busy server.
    const wait = Math.min(MAX_BACKOFF, 250 * 2 ** (this.attempts - 1)) * (0.6 + 0.8 * random());
    this.retryTimer = clock.setTimeout(() => {
      this.retryTimer = undefined;
      this.openSocket();
    }, wait);
  }

  private detach(): void {
    const { clock } = this.options;
    clock.clearTimeout(this.handshakeTimer);
    clock.clearTimeout(this.pingTimer);
    clock.clearTimeout(this.checkTimer);
    this.checkTimer = undefined;
    const socket = this.socket;
    this.socket = undefined;
    this.phase = "idle";
    if (socket === undefined) return;
    socket.onopen = null;
    socket.onmessage = null;
    socket.onclose = null;
    socket.onerror = null;
    try {
      socket.close();
    } catch {
      // Already closed.
    }
  }

  private finish(): void {
    this.options.clock.clearTimeout(this.retryTimer);
    this.retryTimer = undefined;
    this.detach();
    this.forgetSession();
    this.queue = [];
  }

  private fail(error: ProtocolError): void {
    this.finish();
    this.setState("closed");
    this.emit("failed", error);
  }

  private forgetSession(): void {
    this.smId = undefined;
    this.smOn = false;
    this.counting = false;
    this.received = 0;
    this.acked = 0;
    this.unacked = [];
    this.sinceAckRequest = 0;
    const pending = [...this.iqs.values()];
    this.iqs.clear();
    for (const iq of pending) {
      this.options.clock.clearTimeout(iq.timer);
      iq.reject(new ProtocolError("connection-lost"));
    }
  }

  private setState(state: StreamState): void {
    if (this.state === state) return;
    this.state = state;
    this.emit("state", state);
  }

  // --- frames -------------------------------------------------------------------------------

  private onFrame(data: string): void {
    this.heardAt = this.options.clock.now();
    this.framesHeard += 1;
    let element: XmlElement;
    try {
      element = parse(data);
    } catch (error) {
      this.onUnreadable(data, error);
      return;
    }
    switch (element.ns) {
      case NS.framing:
        this.onFraming(element);
        break;
      case NS.streams:
        if (element.name === "features") this.onFeatures(element);
        else if (element.name === "error") this.onStreamError();
        break;
      case NS.sasl:
        this.onSasl(element);
        break;
      case NS.sm:
        this.onManagement(element);
        break;
      default:
        this.onStanza(element);
    }
  }

  /** Nobody can do anything with the frame, but the server counts it: acknowledgements must not fall behind. */
  private onUnreadable(data: string, error: unknown): void {
    this.unreadable += 1;
    console.error(`unreadable stanza (${this.unreadable} so far)`, error);
    if (this.counting && this.phase === "bound" && /^<(message|presence|iq)[\s/>]/.test(data)) {
      this.received = (this.received + 1) >>> 0;
    }
  }

  private onFraming(element: XmlElement): void {
    if (element.name !== "close") return;
    const other = element.attrs["see-other-uri"];
    if (
      other !== undefined &&
      (other.startsWith("wss:") || this.url.startsWith("ws:")) &&
      this.phase === "opening"
    ) {
      this.url = other;
      this.detach();
      this.openSocket();
      return;
    }
    this.onClose(this.socket);
  }

  private onStreamError(): void {
    // The server has given up on this session: resuming it would fail the same way.
    const socket = this.socket;
    this.forgetSession();
    this.onClose(socket);
  }

  private onFeatures(features: XmlElement): void {
    const { pipelined } = this;
    if (this.phase === "opening") {
      const mechanisms = child(features, "mechanisms", NS.sasl);
      const names = mechanisms === undefined ? [] : children(mechanisms, "mechanism").map((m) => text(m));
      if (!names.includes("ANONYMOUS")) {
        this.fail(new ProtocolError("login-required"));
        return;
      }
      this.phase = "authenticating";
      if (!pipelined) this.writeAuth();
    } else if (this.phase === "restarting") {
      const resumable = this.options.resume && this.socket?.sequential !== true;
      const canManage = resumable && child(features, "sm", NS.sm) !== undefined;
      if (this.smId !== undefined && canManage) {
        this.smOn = true;
        this.phase = "resuming";
        if (!pipelined) this.writeResume(this.smId);
      } else {
        this.expectBind(canManage, !pipelined || this.smId !== undefined);
      }
    }
  }

  private onSasl(element: XmlElement): void {
    if (element.name === "success") {
      this.phase = "restarting";
      if (!this.pipelined) this.writeOpen();
    } else if (element.name === "failure" && child(element, "temporary-auth-failure") !== undefined) {
      this.onClose(this.socket);
    } else if (element.name === "failure") {
      this.fail(new ProtocolError("login-failed", text(child(element, "text"))));
    }
  }

  /** Starts a new session; what belonged to an old one is over. */
  private expectBind(canManage: boolean, ask: boolean): void {
    this.forgetSession();
    this.smOn = canManage;
    this.phase = "binding";
    if (ask) this.writeBind();
  }

  private onManagement(element: XmlElement): void {
    switch (element.name) {
      case "enabled":
        this.counting = true;
        if (element.attrs["resume"] === "true" || element.attrs["resume"] === "1") {
          this.smId = element.attrs["id"] || undefined;
        }
        break;
      case "r":
        this.write(el("a", NS.sm, { h: this.received }));
        break;
      case "a":
        this.onAck(Number(element.attrs["h"]));
        break;
      case "resumed":
        this.onAck(Number(element.attrs["h"]));
        this.onResumed();
        break;
      case "failed":
        if (this.phase === "resuming") this.expectBind(true, true);
        else this.smOn = false;
        break;
    }
  }

  private onAck(h: number): void {
    if (!Number.isInteger(h)) return;
    const newly = Math.min((h - this.acked) >>> 0, this.unacked.length);
    this.unacked.splice(0, newly);
    this.acked = (this.acked + newly) >>> 0;
  }

  private onResumed(): void {
    const again = this.unacked;
    this.unacked = [];
    this.ready();
    for (const stanza of again) this.transmit(stanza);
    this.setState("online");
    this.emit("online", { jid: this.jid, resumed: true });
  }

  private onBound(result: XmlElement): void {
    const jid = text(child(child(result, "bind", NS.bind) ?? result, "jid"));
    if (result.attrs["type"] !== "result" || !jid.includes("/")) {
      this.onClose(this.socket);
      return;
    }
    this.jid = jid;
    this.ready();
    // Counting starts here; what follows `enable` on the wire is counted by the server.
    if (this.smOn) this.write(el("enable", NS.sm, { resume: "true" }));
    this.everOnline = true;
    const waiting = this.queue;
    this.queue = [];
    for (const stanza of waiting) this.transmit(stanza);
    this.setState("online");
    this.emit("online", { jid, resumed: false });
  }

  private ready(): void {
    this.phase = "bound";
    this.boundAt = this.options.clock.now();
    this.pingsMissed = 0;
    this.options.clock.clearTimeout(this.handshakeTimer);
    this.schedulePing();
  }

  private transmit(stanza: XmlElement): void {
    this.write(stanza);
    if (!this.smOn) return;
    this.unacked.push(stanza);
    this.sinceAckRequest += 1;
    if (this.sinceAckRequest >= ACK_EVERY) {
      this.sinceAckRequest = 0;
      this.write(el("r", NS.sm));
    }
  }

  private onStanza(stanza: XmlElement): void {
    if (this.phase === "binding" && stanza.name === "iq" && stanza.attrs["id"] === "bind") {
      this.onBound(stanza);
      return;
    }
    if (this.counting && this.phase === "bound") this.received = (this.received + 1) >>> 0;
    const type = stanza.attrs["type"];
    if (stanza.name === "iq" && (type === "result" || type === "error")) {
      this.onReply(stanza, type);
      return;
    }
    this.emit("stanza", stanza);
  }

  private onReply(stanza: XmlElement, type: "result" | "error"): void {
    const id = stanza.attrs["id"] ?? "";
    const pending = this.iqs.get(id);
    if (pending === undefined) return;
    this.iqs.delete(id);
    this.options.clock.clearTimeout(pending.timer);
    if (type === "result") {
      pending.resolve(stanza);
    } else {
      const { condition, detail } = stanzaError(stanza);
      pending.reject(new StanzaProtocolError(detail, condition, stanza));
    }
  }

  // --- liveness -----------------------------------------------------------------------------

  private schedulePing(): void {
    const { clock, ping } = this.options;
    clock.clearTimeout(this.pingTimer);
    if (ping.interval <= 0) return;
    this.pingTimer = clock.setTimeout(() => this.checkAlive(), ping.interval);
  }

  private checkAlive(): void {
    const { clock, ping } = this.options;
    if (this.phase !== "bound") return;
    if (clock.now() - this.heardAt < ping.interval) {
      this.pingsMissed = 0;
      this.schedulePing();
    } else {
      this.ping();
    }
  }

  private ping(): void {
    const { ping, domain } = this.options;
    const asked = this.socket;
    this.iq("get", domain, el("ping", NS.ping), ping.timeout).then(
      () => this.onPong(asked, true),
      (error: unknown) => {
        // An error reply still proves that the connection works.
        const answered = error instanceof ProtocolError && error.code === "stanza";
        this.onPong(asked, answered);
      },
    );
  }

  private onPong(asked: Socket | undefined, alive: boolean): void {
    if (asked !== this.socket || asked === undefined) return;
    this.pingsMissed = alive ? 0 : this.pingsMissed + 1;
    if (this.pingsMissed >= this.options.ping.threshold) this.onClose(asked);
    else if (alive) this.schedulePing();
    else this.ping();
  }

  /** Asks whether the server is still there; if nothing at all comes for a while, the connection is made anew. */
  private askForLife(patience: number): void {
    const { clock, domain } = this.options;
    const until = clock.now() + patience;
    if (this.checkTimer !== undefined && this.checkUntil <= until) return;
    clock.clearTimeout(this.checkTimer);
    const { socket } = this;
    const before = this.framesHeard;
    this.iq("get", domain, el("ping", NS.ping), CHECK_TIMEOUT).catch(() => undefined);
    this.checkUntil = until;
    this.checkTimer = clock.setTimeout(() => {
      this.checkTimer = undefined;
      if (this.framesHeard !== before) return;
      this.onClose(socket);
      // What the network is like now is not known before it was tried.
      if (this.retryTimer !== undefined) this.check();
    }, patience);
  }
}

/** An IQ was answered with an error; carries the whole reply. */
export class StanzaProtocolError extends ProtocolError {
  constructor(
    detail: string,
    condition: string,
    readonly stanza: XmlElement,
  ) {
    super("stanza", detail, condition);
  }
}
