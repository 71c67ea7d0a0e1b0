// XMPP over HTTP requests, against a server played by the test, and when it is used instead of a WebSocket.
import { describe, expect, it } from "vitest";
import { BoshSocket } from "../src/protocol/bosh";
import { VirtualClock } from "../src/protocol/clock";
import type { ProtocolError } from "../src/protocol/errors";
import { NS } from "../src/protocol/ns";
import { XmppStream } from "../src/protocol/stream";
import { Transports } from "../src/protocol/transports";
import { children, el, parse, type XmlElement } from "../src/protocol/xml";
import { FakeSocket } from "./support";

interface Request {
  readonly url: string;
  readonly text: string;
  readonly body: XmlElement;
  readonly answer: (content?: string, attrs?: string) => void;
  readonly status: (code: number) => void;
  readonly fail: () => void;
  aborted: boolean;
}

/** A server whose answers the test gives one by one. */
class Http {
  readonly clock = new VirtualClock();
  readonly requests: Request[] = [];
  readonly frames: XmlElement[] = [];
  closed = 0;

  readonly fetch = (url: string, init: { body: string; signal: AbortSignal }) =>
    new Promise<{ status: number; text(): Promise<string> }>((resolve, reject) => {
      const reply = (status: number, text: string): void => resolve({ status, text: async () => text });
      const request: Request = {
        url,
        text: init.body,
        body: parse(init.body),
        answer: (content = "", attrs = "") =>
          reply(200, `<body xmlns="${NS.httpBind}" ${attrs}>${content}</body>`),
        status: (code) => reply(code, "<html>no</html>"),
        fail: () => reject(new TypeError("Failed to fetch")),
        aborted: false,
      };
      init.signal.addEventListener("abort", () => {
        request.aborted = true;
        reject(new DOMException("", "AbortError"));
      });
      this.requests.push(request);
    });

  socket(url = "https://meet.example.com/http-bind?room=standup"): BoshSocket {
    return new BoshSocket(url, { clock: this.clock, fetch: this.fetch, random: () => 0.5 });
  }

  /** A socket whose session is open. */
  async open(): Promise<BoshSocket> {
    const socket = this.socket();
    socket.onmessage = ({ data }) => this.frames.push(parse(data));
    socket.onclose = () => {
      this.closed += 1;
    };
    socket.send(OPEN);
    await this.answer(0, "", 'sid="s1" requests="2" polling="2"');
    return socket;
  }

  at(index: number): Request {
    const request = this.requests.at(index);
    if (request === undefined) throw new Error(`no request ${index}`);
    return request;
  }

  async answer(index: number, content = "", attrs = ""): Promise<void> {
    this.at(index).answer(content, attrs);
    await this.clock.advance(0);
  }

  rids(): number[] {
    const [first] = this.requests;
    return this.requests.map((r) => Number(r.body.attrs["rid"]) - Number(first?.body.attrs["rid"]));
  }

  contents(): string[][] {
    return this.requests.map((r) => children(r.body).map((c) => c.name));
  }
}

const OPEN = '<open xmlns="urn:ietf:params:xml:ns:xmpp-framing" to="meet.example.com" version="1.0"/>';
const message = (n: number): string => `<message xmlns="jabber:client" id="m${n}"/>`;

describe("a connection of HTTP requests", () => {
  it("opens a session and then always has one request waiting, at most two", async () => {
    const http = new Http();
    const socket = await http.open();
    expect(http.at(0).body.attrs).toMatchObject({ to: "meet.example.com", hold: "1", "xmpp:version": "1.0" });
    expect(http.contents()).toEqual([[], []]);
    expect(http.at(1).body.attrs["sid"]).toBe("s1");
    socket.send(message(1));
    socket.send(message(2));
    await http.clock.advance(0);
    socket.send(message(3));
    await http.clock.advance(0);
    expect(http.contents()).toEqual([[], [], ["message", "message"]]);
    // The server lets go of the older one; what waited goes out at once.
    await http.answer(1);
    expect(http.contents().at(-1)).toEqual(["message"]);
    await http.answer(2);
    await http.answer(3);
    expect(http.contents().at(-1)).toEqual([]);
    expect(http.rids()).toEqual([0, 1, 2, 3, 4]);
  });

  it("passes on what comes in the order of the requests, also when answers overtake", async () => {
    const http = new Http();
    const socket = await http.open();
    socket.send(message(1));
    await http.clock.advance(0);
    await http.answer(2, '<message xmlns="jabber:client" id="second"/>');
    expect(http.frames).toEqual([]);
    await http.answer(1, '<message id="first"/><presence xmlns="jabber:client" id="too"/>');
    expect(http.frames.map((f) => [f.ns, f.attrs["id"]])).toEqual([
      [NS.client, "first"],
      [NS.client, "too"],
      [NS.client, "second"],
    ]);
  });

  it("repeats a request that got lost as it was, and gives up after some", async () => {
    const http = new Http();
    await http.open();
    http.at(1).fail();
    await http.clock.advance(500);
    expect(http.at(2).text).toBe(http.at(1).text);
    http.at(2).status(502);
    await http.clock.advance(1_000);
    await http.answer(3, '<message xmlns="jabber:client" id="late"/>');
    expect(http.frames.map((f) => f.attrs["id"])).toEqual(["late"]);
    for (let n = 4; n < 8; n++) {
      http.at(n).fail();
      await http.clock.advance(4_000);
    }
    expect(http.closed).toBe(1);
    expect(http.requests).toHaveLength(8);
  });

  it.each([
    [
      "the server ends the session",
      (r: Request) => r.answer("", 'type="terminate" condition="item-not-found"'),
    ],
    ["the server does not know it", (r: Request) => r.status(404)],
    ["something else answers", (r: Request) => r.status(200)],
  ])("ends when %s", async (_what, act) => {
    const http = new Http();
    await http.open();
    act(http.at(1));
    await http.clock.advance(0);
    expect(http.closed).toBe(1);
    await http.clock.advance(60_000);
    expect(http.requests).toHaveLength(2);
  });

  it("gives up a request that is never answered, and asks again", async () => {
    const http = new Http();
    await http.open();
    await http.clock.advance(46_000);
    expect(http.at(1).aborted).toBe(true);
    expect(http.at(2).text).toBe(http.at(1).text);
  });

  it("does not ask without end where the server does not wait", async () => {
    const http = new Http();
    await http.open();
    await http.answer(1);
    expect(http.requests).toHaveLength(2);
    await http.clock.advance(2_000);
    expect(http.requests).toHaveLength(3);
  });

  it("says goodbye with what was still to be said", async () => {
    const http = new Http();
    const socket = await http.open();
    socket.send(message(1));
    socket.close();
    const last = http.at(-1);
    expect(last.body.attrs["type"]).toBe("terminate");
    expect(children(last.body).map((c) => c.name)).toEqual(["message"]);
    expect(http.at(1).aborted).toBe(true);
    socket.send(message(2));
    await http.clock.advance(10_000);
    expect(http.requests).toHaveLength(3);
  });
});

const SASL = "urn:ietf:params:xml:ns:xmpp-sasl";
const FEATURES = `<features xmlns="${NS.streams}"><mechanisms xmlns="${SASL}"><mechanism>ANONYMOUS</mechanism></mechanisms></features>`;
const BINDING = `<features xmlns="${NS.streams}"><bind xmlns="${NS.bind}"/><sm xmlns="${NS.sm}"/></features>`;

describe("a proxy that knows no WebSockets", () => {
  function world() {
    const http = new Http();
    const sockets: FakeSocket[] = [];
    const transports = new Transports({
      clock: http.clock,
      webSocket: (url) => {
        const socket = new FakeSocket(url);
        sockets.push(socket);
        return socket;
      },
      boshUrl: "https://meet.example.com/http-bind",
      bosh: (url) => http.socket(url),
      answers: async () => true,
    });
    const stream = new XmppStream({
      url: "wss://meet.example.com/xmpp-websocket?room=standup&token=a.b.c",
      domain: "meet.example.com",
      clock: http.clock,
      openSocket: transports.open,
      resume: true,
      pipelined: true,
      ping: { interval: 10_000, timeout: 5_000, threshold: 2 },
      random: () => 0.5,
    });
    const failures: ProtocolError[] = [];
    stream.on("failed", (e) => failures.push(e));
    return { http, sockets, stream, failures };
  }

  async function login(http: Http): Promise<void> {
    await http.answer(-1, FEATURES, 'sid="s1" requests="2"');
    expect(http.contents().at(-1)).toEqual(["auth"]);
    await http.answer(-1, `<success xmlns="${SASL}"/>`);
    expect(http.at(-1).body.attrs["xmpp:restart"]).toBe("true");
    await http.answer(-1, BINDING);
    expect(http.contents().at(-1)).toEqual(["iq"]);
    await http.answer(
      -1,
      `<iq xmlns="jabber:client" type="result" id="bind"><bind xmlns="${NS.bind}"><jid>a@meet.example.com/r</jid></bind></iq>`,
    );
  }

  it("is got round with HTTP requests, step by step and without what cannot be resumed", async () => {
    const { http, sockets, stream, failures } = world();
    stream.send(el("message", NS.client, { id: "early" }));
    stream.connect();
    stream.send(el("message", NS.client, { id: "early" }));
    sockets[0]?.drop();
    await http.clock.advance(1_000);
    expect(http.at(0).url).toBe("https://meet.example.com/http-bind?room=standup&token=a.b.c");
    await login(http);
    expect(stream.state).toBe("online");
    expect(http.contents().at(-1)).toEqual(["message"]);
    expect(http.requests.some((r) => r.text.includes(NS.sm))).toBe(false);
    expect(sockets).toHaveLength(1);
    expect(failures).toEqual([]);
  });

  it("is not blamed when nothing gets through at all", async () => {
    const { http, sockets, stream, failures } = world();
    stream.connect();
    sockets[0]?.drop();
    await http.clock.advance(1_000);
    for (let n = 0; n < 4; n++) {
      http.at(n).fail();
      await http.clock.advance(2_500);
    }
    sockets[1]?.drop();
    expect(failures.map((f) => f.code)).toEqual(["connection-failed"]);
  });

  it("is tried again by HTTP after a loss, and by WebSocket when that fails", async () => {
    const { http, sockets, stream } = world();
    stream.connect();
    sockets[0]?.drop();
    await http.clock.advance(1_000);
    await login(http);
    await http.answer(-1, "", 'type="terminate"');
    expect(stream.state).toBe("reconnecting");
    const before = http.requests.length;
    await http.clock.advance(1_000);
    expect(http.requests).toHaveLength(before + 1);
    http.at(-1).status(404);
    await http.clock.advance(2_000);
    expect(sockets).toHaveLength(2);
  });

  /** Tries to connect as a client that has no session any more does; says along which ways. */
  function tries(answers: () => Promise<boolean>) {
    const opened: string[] = [];
    const sockets: FakeSocket[] = [];
    const make = (name: string) => (url: string) => {
      opened.push(name);
      const socket = new FakeSocket(url);
      sockets.push(socket);
      return socket;
    };
    const clock = new VirtualClock();
    const transports = new Transports({
      clock,
      webSocket: make("ws"),
      boshUrl: "https://m/http-bind",
      bosh: make("http"),
      answers,
    });
    const open = (): FakeSocket | undefined => {
      const socket = transports.open("wss://m/x?room=a", "xmpp");
      socket.onmessage = () => undefined;
      return sockets.at(-1);
    };
    const fail = async (times: number): Promise<void> => {
      for (let n = 0; n < times; n++) {
        open()?.drop();
        await clock.advance(8_000);
      }
    };
    return { opened, sockets, transports, clock, open, fail };
  }

  it("is no reason to leave a WebSocket that worked, while nothing gets through at all", async () => {
    const { opened, open, fail } = tries(async () => false);
    open()?.receive("<open/>");
    await fail(40);
    expect(new Set(opened)).toEqual(new Set(["ws"]));
  });

  it("is no reason either when the network comes back while it is asked about", async () => {
    let tell = (_: boolean): void => undefined;
    const { opened, open, fail } = tries(
      () =>
        new Promise((resolve) => {
          tell = resolve;
        }),
    );
    open()?.receive("<open/>");
    await fail(3);
    open()?.receive("<open/>");
    tell(true);
    await fail(1);
    open();
    expect(new Set(opened)).toEqual(new Set(["ws"]));
  });

  it("is found out after a WebSocket that worked, and left again where it is none", async () => {
    const { opened, open, fail } = tries(async () => true);
    open()?.receive("<open/>");
    await fail(2);
    open()?.receive("<body/>");
    expect(opened).toEqual(["ws", "ws", "ws", "http"]);
    await fail(1);
    open();
    expect(opened.slice(4)).toEqual(["http", "ws"]);
  });

  it("does not cost a session that can be resumed over a WebSocket", async () => {
    const { opened, sockets, transports, clock } = tries(async () => false);
    for (let n = 0; n < 6; n++) {
      transports.open("wss://m/x?room=a&previd=1", "xmpp");
      sockets.at(-1)?.drop();
      await clock.advance(16_000);
    }
    expect(opened).toEqual(["ws", "ws", "ws", "ws", "ws", "http"]);
    expect(sockets.at(-1)?.url).toBe("https://m/http-bind?room=a");
  });
});
