// Login, stream management and reconnection against a server played by the test.
import { describe, expect, it, vi } from "vitest";
import type { ProtocolError } from "../src/protocol/errors";
import { NS } from "../src/protocol/ns";
import { QUICK_CHECK } from "../src/protocol/stream";
import { child, el, text } from "../src/protocol/xml";
import { FakeServer } from "./support";

function message(body: string) {
  return el("message", NS.client, { to: "x@example.com" }, el("body", NS.client, {}, body));
}

function online(): FakeServer {
  const server = new FakeServer();
  server.stream.connect();
  server.login();
  server.bind();
  return server;
}

function bodies(server: FakeServer): string[] {
  return server.socket.sent.filter((e) => e.name === "message").map((e) => text(child(e, "body")));
}

describe("login", () => {
  it("sends open, auth, open, bind, enable in this order", () => {
    const server = online();
    expect(server.socket.sent.map((e) => e.name)).toEqual(["open", "auth", "open", "iq", "enable"]);
    expect(server.stream.state).toBe("online");
    expect(server.stream.jid).toBe("a1b2c3d4-77aa-4f10-9c55-0e6a2a3b9d01@meet.example.com/Qw3rTy");
  });

  it("sends all of the login at once to servers that take it, and resumes the same way", async () => {
    const server = new FakeServer(undefined, true);
    server.stream.connect();
    server.socket.open();
    expect(server.socket.sent.map((e) => e.name)).toEqual(["open", "auth", "open", "iq"]);
    server.finishLogin();
    server.bind();
    expect(server.socket.sent.map((e) => e.name)).toEqual(["open", "auth", "open", "iq", "enable"]);
    server.stream.send(message("one"));
    server.socket.drop();
    await server.clock.advance(1_000);
    server.socket.open();
    expect(server.socket.sent.map((e) => e.name)).toEqual(["open", "auth", "open", "resume"]);
    server.finishLogin();
    server.socket.receive(`<failed xmlns="${NS.sm}"/>`);
    expect(server.socket.last().name).toBe("iq");
    server.bind();
    expect(server.stream.state).toBe("online");
    expect(bodies(server)).toEqual([]);
  });

  it("keeps stanzas until it is logged in", () => {
    const server = new FakeServer();
    server.stream.connect();
    server.stream.send(message("early"));
    server.login();
    expect(bodies(server)).toEqual([]);
    server.bind();
    expect(bodies(server)).toEqual(["early"]);
  });

  it("fails without the ANONYMOUS mechanism", () => {
    const server = new FakeServer();
    const failures: ProtocolError[] = [];
    server.stream.on("failed", (e) => failures.push(e));
    server.stream.connect();
    server.socket.open();
    server.socket.receive(
      `<stream:features xmlns:stream="http://etherx.jabber.org/streams"><mechanisms xmlns="${NS.sasl}"><mechanism>PLAIN</mechanism></mechanisms></stream:features>`,
    );
    expect(failures.map((f) => f.code)).toEqual(["login-required"]);
    expect(server.stream.state).toBe("closed");
  });

  it("gives up after three attempts that never got online", async () => {
    const server = new FakeServer();
    const failures: ProtocolError[] = [];
    server.stream.on("failed", (e) => failures.push(e));
    server.stream.connect();
    server.socket.drop();
    await server.clock.advance(1_000);
    server.socket.drop();
    await server.clock.advance(1_000);
    server.socket.drop();
    expect(failures.map((f) => f.code)).toEqual(["connection-failed"]);
    await server.clock.advance(60_000);
    expect(server.sockets).toHaveLength(3);
  });

  it("follows see-other-uri before login", () => {
    const server = new FakeServer();
    server.stream.connect();
    server.socket.open();
    server.socket.receive(`<close xmlns="${NS.framing}" see-other-uri="wss://other.example.com/ws"/>`);
    expect(server.socket.url).toBe("wss://other.example.com/ws");
  });
});

describe("stream management", () => {
  it("asks for an acknowledgement every five stanzas and answers with its own count", () => {
    const server = online();
    for (let i = 0; i < 5; i++) server.stream.send(message(String(i)));
    expect(server.socket.sent.at(-1)?.name).toBe("r");
    server.socket.receive('<message xmlns="jabber:client"/>');
    server.socket.receive('<presence xmlns="jabber:client"/>');
    server.socket.receive(`<r xmlns="${NS.sm}"/>`);
    expect(server.socket.last()).toMatchObject({ name: "a", attrs: { h: "2" } });
  });

  it("passes an unreadable stanza over, and counts it", () => {
    const silent = vi.spyOn(console, "error").mockImplementation(() => undefined);
    const server = online();
    const seen: string[] = [];
    server.stream.on("stanza", (stanza) => seen.push(stanza.name));
    server.socket.receive('<message xmlns="jabber:client"><a></message>');
    server.socket.receive('<presence xmlns="jabber:client"/>');
    server.socket.receive(`<r xmlns="${NS.sm}"/>`);
    expect(server.stream.state).toBe("online");
    expect(seen).toEqual(["presence"]);
    expect(server.socket.last()).toMatchObject({ name: "a", attrs: { h: "2" } });
    silent.mockRestore();
  });

  it("resumes, and sends again exactly what was not acknowledged", async () => {
    const server = online();
    const events: boolean[] = [];
    server.stream.on("online", ({ resumed }) => events.push(resumed));
    server.stream.send(message("one"));
    server.stream.send(message("two"));
    server.socket.receive(`<a xmlns="${NS.sm}" h="1"/>`);
    server.socket.receive('<message xmlns="jabber:client"/>');
    server.socket.drop();
    expect(server.stream.state).toBe("reconnecting");
    server.stream.send(message("three"));
    await server.clock.advance(1_000);
    expect(server.socket.url).toContain("&previd=res-1");
    server.login();
    expect(server.socket.last()).toMatchObject({ name: "resume", attrs: { h: "1", previd: "res-1" } });
    server.socket.receive(`<resumed xmlns="${NS.sm}" h="1" previd="res-1"/>`);
    expect(bodies(server)).toEqual(["two", "three"]);
    expect(events).toEqual([true]);
  });

  it("logs in anew when the session is gone, and drops what belonged to it", async () => {
    const server = online();
    const asked = server.stream.iq("get", "meet.example.com", el("ping", NS.ping));
    const rejected = expect(asked).rejects.toMatchObject({ code: "connection-lost" });
    server.socket.drop();
    await server.clock.advance(1_000);
    server.login();
    server.socket.receive(`<failed xmlns="${NS.sm}"><item-not-found xmlns="${NS.stanzas}"/></failed>`);
    await rejected;
    expect(server.socket.last().name).toBe("iq");
    const events: { jid: string; resumed: boolean }[] = [];
    server.stream.on("online", (e) => events.push(e));
    server.bind("0f9e8d7c-1d2e-4bb0-8a77-4f30c1d2e3f4@meet.example.com/New");
    expect(events).toEqual([
      { jid: "0f9e8d7c-1d2e-4bb0-8a77-4f30c1d2e3f4@meet.example.com/New", resumed: false },
    ]);
    expect(bodies(server)).toEqual([]);
  });

  it("does not resume after a stream error", async () => {
    const server = online();
    server.socket.receive(
      '<stream:error xmlns:stream="http://etherx.jabber.org/streams"><x/></stream:error>',
    );
    await server.clock.advance(1_000);
    expect(server.socket.url).not.toContain("previd");
  });
});

describe("liveness", () => {
  it("pings only after silence and reconnects after two lost pings", async () => {
    const server = online();
    await server.clock.advance(9_000);
    server.socket.receive('<message xmlns="jabber:client"/>');
    await server.clock.advance(1_500);
    expect(server.socket.last().name).toBe("enable");
    await server.clock.advance(10_000);
    expect(child(server.socket.last(), "ping", NS.ping)).toBeDefined();
    await server.clock.advance(30_000);
    expect(server.sockets.length).toBeGreaterThan(1);
  });

  it("takes an error reply to a ping as a sign of life", async () => {
    const server = online();
    await server.clock.advance(12_000);
    const id = server.socket.last().attrs["id"];
    server.socket.receive(
      `<iq xmlns="jabber:client" type="error" id="${id}"><error type="cancel"><service-unavailable xmlns="${NS.stanzas}"/></error></iq>`,
    );
    await server.clock.advance(9_000);
    expect(server.sockets).toHaveLength(1);
  });

  it("finds out quickly when something else says that the network may be gone", async () => {
    const server = online();
    server.stream.check();
    expect(child(server.socket.last(), "ping", NS.ping)).toBeDefined();
    await server.clock.advance(4_001);
    expect(server.stream.state).toBe("reconnecting");
  });

  it("makes the connection anew at once when the network has changed and the server is silent", async () => {
    const server = online();
    server.stream.check();
    server.stream.check(QUICK_CHECK);
    await server.clock.advance(QUICK_CHECK);
    expect(server.sockets).toHaveLength(2);
    expect(server.sockets[0]?.closed).toBe(true);
  });

  it("is not misled when the server answers in time", async () => {
    const server = online();
    await server.clock.advance(1);
    server.stream.check();
    await server.clock.advance(1_000);
    server.socket.receive('<message xmlns="jabber:client"/>');
    await server.clock.advance(5_000);
    expect(server.sockets).toHaveLength(1);
  });

  it("tries at once when the network is said to be back, also instead of an attempt that hangs", async () => {
    const server = online();
    server.socket.drop();
    server.stream.check();
    expect(server.sockets).toHaveLength(2);
    await server.clock.advance(2_000);
    server.stream.check();
    expect(server.sockets).toHaveLength(3);
    expect(server.sockets[1]?.closed).toBe(true);
  });

  it("waits at most three seconds between attempts, however long the network is gone", async () => {
    const server = online();
    server.socket.drop();
    let last = 0;
    for (let seconds = 0; seconds < 300; seconds += 0.1) {
      await server.clock.advance(100);
      if (server.sockets.length === last) continue;
      last = server.sockets.length;
      const before = server.clock.now();
      server.socket.drop();
      await server.clock.advance(3_000);
      expect(server.sockets.length, `after ${before} ms`).toBeGreaterThan(last);
      seconds += 3;
    }
  });

  it("tries again when a busy server postpones a later login", async () => {
    const server = online();
    server.socket.drop();
    await server.clock.advance(1_000);
    server.socket.open();
    server.socket.receive(`<failure xmlns="${NS.sasl}"><temporary-auth-failure/></failure>`);
    expect(server.stream.state).toBe("reconnecting");
    await server.clock.advance(3_000);
    expect(server.sockets.length).toBeGreaterThan(2);
  });

  it("rejects an IQ that is not answered", async () => {
    const server = online();
    const asked = server.stream.iq("get", "meet.example.com", el("q", "urn:q"), 3_000);
    const rejected = expect(asked).rejects.toMatchObject({ code: "timeout" });
    await server.clock.advance(3_001);
    await rejected;
  });
});
