// The connection that the page begins before its script is there.
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { takeEarly } from "../src/app/early";

const URL = "wss://meet.example.com/xmpp-websocket?room=standup";

class FakeWebSocket {
  static readonly OPEN = 1;
  onopen: (() => void) | null = null;
  readonly close = vi.fn();
  readyState: number;
  constructor(readyState: number) {
    this.readyState = readyState;
  }
}

beforeEach(() => {
  vi.stubGlobal("window", {});
  vi.stubGlobal("WebSocket", FakeWebSocket);
});
afterEach(() => vi.unstubAllGlobals());

function begin(readyState: number): FakeWebSocket {
  const socket = new FakeWebSocket(readyState);
  Object.assign(window, { early: { url: URL, socket } });
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
});
