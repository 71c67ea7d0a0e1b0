// Helpers shared by the tests: fixtures and a WebSocket played by the test.

import { type Clock, VirtualClock } from "../src/protocol/clock";
import { type Socket, XmppStream } from "../src/protocol/stream";
import { parse, type XmlElement } from "../src/protocol/xml";

const files = import.meta.glob<string>("./fixtures/*", { query: "?raw", import: "default", eager: true });

export function fixture(name: string): string {
  const found = files[`./fixtures/${name}`];
  if (found === undefined) throw new Error(`no fixture ${name}`);
  return found;
}

/** A connection whose far end is the test. */
export class FakeSocket implements Socket {
  onopen: ((event: never) => void) | null = null;
  onmessage: ((event: MessageEvent) => void) | null = null;
  onclose: ((event: never) => void) | null = null;
  onerror: ((event: never) => void) | null = null;
  readonly sent: XmlElement[] = [];
  closed = false;
  readonly url: string;

  constructor(url: string) {
    this.url = url;
  }

  send(data: string): void {
    this.sent.push(parse(data));
  }

  close(): void {
    this.closed = true;
  }

  open(): void {
    this.onopen?.(undefined as never);
  }

  receive(data: string): void {
    this.onmessage?.({ data } as MessageEvent);
  }

  drop(): void {
    this.onclose?.(undefined as never);
  }

  /** What was sent last, leaving out requests for acknowledgement. */
  last(): XmlElement {
    const last = this.sent.findLast((e) => e.name !== "r");
    if (last === undefined) throw new Error("nothing was sent");
    return last;
  }
}

const OPEN =
  '<open xmlns="urn:ietf:params:xml:ns:xmpp-framing" version="1.0" from="meet.example.com" id="s"/>';

function features(inner: string): string {
  return `<stream:features xmlns:stream="http://etherx.jabber.org/streams" xmlns="jabber:client">${inner}</stream:features>`;
}

export class FakeServer {
  readonly clock = new VirtualClock();
  readonly sockets: FakeSocket[] = [];
  readonly stream: XmppStream;

  constructor(clock?: Clock, pipelined = false) {
    this.stream = new XmppStream({
      url: "wss://meet.example.com/xmpp-websocket?room=standup",
      domain: "meet.example.com",
      clock: clock ?? this.clock,
      openSocket: (url) => this.openSocket(url),
      resume: true,
      pipelined,
      ping: { interval: 10_000, timeout: 5_000, threshold: 2 },
      random: () => 0.5,
    });
  }

  openSocket(url: string): FakeSocket {
    const socket = new FakeSocket(url);
    this.sockets.push(socket);
    return socket;
  }

  get socket(): FakeSocket {
    const socket = this.sockets.at(-1);
    if (socket === undefined) throw new Error("no connection");
    return socket;
  }

  /** Goes through SASL up to the features after login. */
  login(): void {
    this.socket.open();
    this.finishLogin();
  }

  /** What the server says during the login. */
  finishLogin(): void {
    this.socket.receive(OPEN);
    const sasl = "urn:ietf:params:xml:ns:xmpp-sasl";
    this.socket.receive(
      features(`<mechanisms xmlns="${sasl}"><mechanism>ANONYMOUS</mechanism></mechanisms>`),
    );
    this.socket.receive(`<success xmlns="${sasl}"/>`);
    this.socket.receive(OPEN);
    this.socket.receive(
      features(`<bind xmlns="urn:ietf:params:xml:ns:xmpp-bind"/><sm xmlns="urn:xmpp:sm:3"/>`),
    );
  }

  bind(jid = "a1b2c3d4-77aa-4f10-9c55-0e6a2a3b9d01@meet.example.com/Qw3rTy"): void {
    this.socket.receive(
      `<iq xmlns="jabber:client" type="result" id="bind"><bind xmlns="urn:ietf:params:xml:ns:xmpp-bind"><jid>${jid}</jid></bind></iq>`,
    );
    this.socket.receive('<enabled xmlns="urn:xmpp:sm:3" resume="true" id="res-1"/>');
  }
}
