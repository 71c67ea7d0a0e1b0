// XMPP over plain HTTP requests (XEP-0124, XEP-0206), shaped like a WebSocket that speaks RFC 7395: what the stream
// sends becomes the content of requests, one of which always waits at the server for what it has to say.

import type { Clock, Timer } from "./clock";
import { NS } from "./ns";
import type { Socket } from "./stream";
import { children, el, parse, serialize, type XmlElement } from "./xml";

/** The part of `fetch` that is used. */
export type Fetch = (
  url: string,
  init: {
    method: "POST";
    headers: Record<string, string>;
    body: string;
    signal: AbortSignal;
    keepalive: boolean;
  },
) => Promise<{ readonly status: number; text(): Promise<string> }>;

export interface BoshOptions {
  readonly clock: Clock;
  readonly fetch: Fetch;
  /** Random number in [0, 1): the first request id must not be guessable. */
  readonly random: () => number;
}

/** Seconds the server may keep a request; proxies cut what is silent for a minute. */
const WAIT = 30;
/** On top of that, for the way there and back, in milliseconds. */
const PATIENCE = 15_000;
const RETRIES = 3;
const FIRST_RETRY = 500;
/** An empty answer that comes this soon was not waited for; asking again at once would never end. */
const HASTY = 250;
const MAX_RID = 2 ** 52;

type Item = { readonly restart: XmlElement } | { readonly payload: XmlElement };

export class BoshSocket implements Socket {
  onopen: ((event: never) => void) | null = null;
  onmessage: ((event: MessageEvent) => void) | null = null;
  onclose: ((event: never) => void) | null = null;
  onerror: ((event: never) => void) | null = null;
  readonly sequential = true;

  private readonly url: string;
  private readonly options: BoshOptions;
  private readonly cancel = new AbortController();
  private rid: number;
  private sid: string | undefined;
  private started = false;
  private closed = false;
  private limit = 1;
  private polling = 2_000;
  private waiting = 0;
  private queue: Item[] = [];
  private pumpQueued = false;
  private pollTimer: Timer | undefined;
  /** Answers that came before those of earlier requests. */
  private readonly early = new Map<number, XmlElement>();
  private due: number;

  constructor(url: string, options: BoshOptions) {
    this.url = url;
    this.options = options;
    this.rid = 1 + Math.floor(options.random() * MAX_RID);
    this.due = this.rid;
    options.clock.setTimeout(() => this.onopen?.(undefined as never), 0);
  }

  send(data: string): void {
    if (this.closed) return;
    const element = parse(data);
    if (element.ns === NS.framing) {
      if (element.name === "close") this.terminate();
      else if (this.started) this.push({ restart: element });
      else this.create(element.attrs["to"] ?? "");
    } else {
      this.push({ payload: element });
    }
  }

  close(): void {
    if (this.closed) return;
    this.terminate();
  }

  // --- requests -----------------------------------------------------------------------------

  private create(to: string): void {
    this.started = true;
    void this.request(
      {
        to,
        "xml:lang": "en",
        wait: WAIT,
        hold: 1,
        content: "text/xml; charset=utf-8",
        ver: "1.6",
        "xmlns:xmpp": NS.xbosh,
        "xmpp:version": "1.0",
      },
      [],
    );
  }

  private push(item: Item): void {
    this.queue.push(item);
    if (this.pumpQueued) return;
    this.pumpQueued = true;
    // What is sent together travels together.
    queueMicrotask(() => {
      this.pumpQueued = false;
      this.pump();
    });
  }

  private pump(): void {
    while (!this.closed && this.sid !== undefined && this.waiting < this.limit) {
      const [first] = this.queue;
      if (first === undefined) {
        if (this.waiting > 0 || this.pollTimer !== undefined) return;
        void this.request({}, []);
      } else if ("restart" in first) {
        this.queue.shift();
        const { to } = first.restart.attrs;
        void this.request({ to, "xml:lang": "en", "xmlns:xmpp": NS.xbosh, "xmpp:restart": "true" }, []);
      } else {
        void this.request({}, this.takePayload());
      }
    }
  }

  private takePayload(): XmlElement[] {
    const end = this.queue.findIndex((item) => "restart" in item);
    const taken = this.queue.splice(0, end < 0 ? this.queue.length : end);
    return taken.flatMap((item) => ("payload" in item ? [item.payload] : []));
  }

  private body(
    attrs: Readonly<Record<string, string | number | undefined>>,
    content: readonly XmlElement[],
  ): string {
    return serialize(el("body", NS.httpBind, { rid: this.rid++, sid: this.sid, ...attrs }, content));
  }

  private async request(
    attrs: Readonly<Record<string, string | number | undefined>>,
    content: readonly XmlElement[],
  ): Promise<void> {
    const { clock } = this.options;
    const rid = this.rid;
    const body = this.body(attrs, content);
    this.waiting += 1;
    const sentAt = clock.now();
    const answer = await this.ask(body);
    this.waiting -= 1;
    if (this.closed) return;
    if (answer === undefined) {
      this.finish();
      return;
    }
    // An answer may also come early because a later request takes its place.
    const onlyAsked = this.waiting === 0 && content.length === 0 && Object.keys(attrs).length === 0;
    if (onlyAsked && answer.children.length === 0 && clock.now() - sentAt < HASTY) this.pause();
    this.early.set(rid, answer);
    this.deliver();
  }

  /** Asks until there is an answer; the server answers a repeated request as it did before. */
  private async ask(body: string): Promise<XmlElement | undefined> {
    for (let attempt = 0; attempt <= RETRIES && !this.closed; attempt++) {
      if (attempt > 0) await this.sleep(FIRST_RETRY * 2 ** (attempt - 1));
      const response = await this.post(body);
      if (response === undefined) continue;
      if (response.status >= 400 && response.status < 500) return undefined;
      if (response.status !== 200) continue;
      try {
        const answer = parse(response.text);
        return answer.name === "body" && answer.ns === NS.httpBind ? answer : undefined;
      } catch {
        // Not from a server of ours: a page of something in between.
        return undefined;
      }
    }
    return undefined;
  }

  private async post(body: string): Promise<{ status: number; text: string } | undefined> {
    const { clock, fetch } = this.options;
    const late = new AbortController();
    const stop = (): void => late.abort();
    this.cancel.signal.addEventListener("abort", stop);
    const timer = clock.setTimeout(stop, WAIT * 1_000 + PATIENCE);
    try {
      const response = await fetch(this.url, {
        method: "POST",
        headers: { "Content-Type": "text/xml; charset=utf-8" },
        body,
        signal: late.signal,
        keepalive: false,
      });
      return { status: response.status, text: await response.text() };
    } catch {
      return undefined;
    } finally {
      clock.clearTimeout(timer);
      this.cancel.signal.removeEventListener("abort", stop);
    }
  }

  private sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.options.clock.setTimeout(resolve, ms);
    });
  }

  private pause(): void {
    this.pollTimer = this.options.clock.setTimeout(() => {
      this.pollTimer = undefined;
      this.pump();
    }, this.polling);
  }

  // --- answers ------------------------------------------------------------------------------

  private deliver(): void {
    for (let answer = this.early.get(this.due); answer !== undefined; answer = this.early.get(this.due)) {
      this.early.delete(this.due);
      this.due += 1;
      this.take(answer);
      if (this.closed) return;
    }
    this.pump();
  }

  private take(answer: XmlElement): void {
    const { sid, requests, polling, type } = answer.attrs;
    if (this.sid === undefined && sid !== undefined) {
      this.sid = sid;
      this.limit = Math.max(1, Math.min(2, Number(requests) || 2));
      this.polling = Math.max(1, Number(polling) || 2) * 1_000;
    }
    for (const content of children(answer)) {
      if (this.closed) return;
      this.onmessage?.({ data: serialize(asStanza(content)) } as MessageEvent);
    }
    if (type === "terminate" || this.sid === undefined) this.finish();
  }

  // --- the end ------------------------------------------------------------------------------

  /** Says goodbye with what is still to be said; the page may go away meanwhile. */
  private terminate(): void {
    if (this.sid !== undefined) {
      const rest = this.queue.flatMap((item) => ("payload" in item ? [item.payload] : []));
      const body = this.body({ type: "terminate" }, rest);
      const { fetch } = this.options;
      const init = { method: "POST", headers: { "Content-Type": "text/xml; charset=utf-8" } } as const;
      // Without a signal of its own: nothing waits for the answer.
      fetch(this.url, { ...init, body, signal: new AbortController().signal, keepalive: true }).catch(
        () => undefined,
      );
    }
    this.finish();
  }

  private finish(): void {
    if (this.closed) return;
    this.closed = true;
    this.queue = [];
    this.options.clock.clearTimeout(this.pollTimer);
    this.cancel.abort();
    this.onclose?.(undefined as never);
  }
}

/** Some servers leave out the namespace of stanzas inside a body. */
function asStanza(element: XmlElement): XmlElement {
  return element.ns === NS.httpBind ? { ...element, ns: NS.client } : element;
}
