// The connection that the page begins before its script is there.
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import page from "../index.html?raw";
import { takeEarly } from "../src/app/early";
import { FakeServer } from "./support";

const URL = "wss://meet.example.com/xmpp-websocket?room=standup";

class FakeWebSocket {
  static readonly OPEN = 1;
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: string }) => void) | null = null;
  readonly close = vi.fn();
  readonly sent: string[] = [];
  readyState: number;
  constructor(readyState: number) {
    this.readyState = readyState;
  }
  send(data: string): void {
    this.sent.push(data);
  }
}

beforeEach(() => {
  vi.stubGlobal("window", {});
  vi.stubGlobal("WebSocket", FakeWebSocket);
});
afterEach(() => vi.unstubAllGlobals());

function begin(readyState: number): FakeWebSocket {
  const socket = new FakeWebSocket(readyState);
  Object.assign(window, { early: { url: URL, socket, said: [], heard: [] } });
  return socket;
}

describe("an early connection", () => {
  it("is taken once, and says that it is open to who took it", async () => {
    for (const [readyState, opened] of [
      [0, 0],
      [1, 1],
    ] as const) {
      const socket = begin(readyState);
      const taken = takeEarly(URL);
      expect(taken).toBe(socket);
      const onopen = vi.fn();
      socket.onopen = onopen;
      await Promise.resolve();
      expect(onopen).toHaveBeenCalledTimes(opened);
      expect(takeEarly(URL)).toBeUndefined();
      expect(socket.close).not.toHaveBeenCalled();
    }
  });

  it("that leads elsewhere is closed, and so is one that ended", () => {
    const elsewhere = begin(1);
    expect(takeEarly("wss://other.example.com/xmpp-websocket?room=standup")).toBeUndefined();
    expect(elsewhere.close).toHaveBeenCalled();
    begin(3);
    expect(takeEarly(URL)).toBeUndefined();
    expect(takeEarly(URL)).toBeUndefined();
  });

  /** Runs the script of the page, as the server sends it. */
  function runPage(domain: string | undefined): FakeWebSocket {
    const socket = new FakeWebSocket(0);
    const script = page.slice(page.indexOf("<script>") + 8, page.indexOf("</script>"));
    const location = { protocol: "https:", host: "meet.example.com", pathname: "/standup", search: "" };
    const document = { documentElement: { dataset: { domain } } };
    const opens = new Proxy(FakeWebSocket, { construct: () => socket });
    new Function("location", "document", "self", "WebSocket", script)(location, document, window, opens);
    return socket;
  }

  it("has said all that the client would say to log in, and nothing is said twice", async () => {
    const server = new FakeServer(undefined, true);
    const said = new FakeWebSocket(1);
    vi.spyOn(server, "openSocket").mockReturnValue(said as never);
    server.stream.connect();
    said.onopen?.();
    const socket = runPage("meet.example.com");
    expect(socket.sent).toEqual([]);
    socket.readyState = 1;
    socket.onopen?.();
    expect(socket.sent).toEqual(said.sent);
    socket.onmessage?.({ data: "<a/>" });
    const taken = takeEarly(URL);
    const heard: string[] = [];
    if (taken === undefined) throw new Error("not taken");
    taken.onopen = () => {
      for (const frame of said.sent) taken.send(frame);
    };
    taken.onmessage = ({ data }) => heard.push(data);
    socket.onmessage?.({ data: "<b/>" });
    await Promise.resolve();
    socket.onmessage?.({ data: "<c/>" });
    expect(heard).toEqual(["<a/>", "<b/>", "<c/>"]);
    expect(socket.sent).toHaveLength(4);
    taken.send("<d/>");
    expect(socket.sent.at(-1)).toBe("<d/>");
    expect(socket.close).not.toHaveBeenCalled();
  });

  it("is given up by a client that would say something else", async () => {
    const socket = runPage("meet.example.com");
    socket.readyState = 1;
    socket.onopen?.();
    const taken = takeEarly(URL);
    await Promise.resolve();
    taken?.send("<open to='elsewhere'/>");
    expect(socket.sent).toHaveLength(4);
    expect(socket.close).toHaveBeenCalled();
  });

  it("says nothing where the server does not name its domain", () => {
    const socket = runPage(undefined);
    expect(socket.onopen).toBeNull();
    expect(takeEarly(URL)).toBe(socket);
  });
});
