// What is said about the connections.
import { describe, expect, it } from "vitest";
import { Connectivity, standingOf } from "../../src/model/connectivity";
import { Ground } from "../fake-conference";

describe("connectivity", () => {
  const world = (): Ground & { connectivity: Connectivity } => {
    const ground = new Ground();
    return Object.assign(ground, {
      connectivity: new Connectivity(ground.link, ground.notices, ground.clock),
    });
  };

  it("names the worst of the connections", () => {
    const { conference, connectivity } = world();
    const standing = (): string => standingOf(connectivity.state.get());
    expect(standing()).toBe("connecting");
    conference.become("joining");
    expect(standing()).toBe("joining");
    conference.enter();
    conference.tell("media", "connected");
    expect(standing()).toBe("connected");
    conference.tell("media", "interrupted");
    expect(standing()).toBe("interrupted");
    conference.become("reconnecting");
    expect(standing()).toBe("reconnecting");
  });

  it("says that the connection was lost, and instead of it that it is back", () => {
    const ground = world();
    ground.conference.enter();
    expect(ground.texts()).toEqual([]);
    ground.conference.become("reconnecting");
    expect(ground.texts()).toEqual(["The connection was lost. Reconnecting…"]);
    ground.conference.become("joined");
    expect(ground.texts()).toEqual(["You are back."]);
  });

  it("says within five seconds that media does not get through, why and what to do", async () => {
    const { conference, clock, ...ground } = world();
    const texts = (): string[] => ground.notices.list.get().map((n) => n.text);
    conference.enter();
    conference.tell("media", "connecting");
    await clock.advance(3_000);
    expect(texts()).toEqual([]);
    const door = { protocol: "udp", host: "203.0.113.5", port: 10_000 } as const;
    conference.blockage = { why: "network", doors: [door] };
    await clock.advance(2_000);
    expect(texts()).toHaveLength(1);
    expect(texts()[0]).toMatch(/do not get through.*UDP port 10000 of 203\.0\.113\.5.*another network/);
    // The next try does not take it back, what works does.
    conference.tell("media", "interrupted");
    conference.tell("media", "connecting");
    expect(texts()).toHaveLength(1);
    conference.tell("media", "connected");
    expect(texts()).toEqual([]);
    await clock.advance(20_000);
    expect(texts()).toEqual([]);
  });

  it("waits for a session of which something can be said", async () => {
    const { conference, clock, ...ground } = world();
    conference.enter();
    conference.tell("media", "connecting");
    await clock.advance(6_000);
    expect(ground.notices.list.get()).toEqual([]);
    conference.blockage = { why: "browser", doors: [] };
    await clock.advance(600);
    expect(ground.notices.list.get()).toHaveLength(1);
  });

  it("starts anew with another conference, and does not hear the old one", () => {
    const { link, conferences, connectivity } = world();
    conferences[0]?.enter();
    conferences[0]?.tell("media", "interrupted");
    conferences[0]?.tell("noBridge", true);
    link.replace();
    const fresh = { connection: "idle", media: "none", peer: false, noBridge: false };
    expect(connectivity.state.get()).toEqual(fresh);
    conferences[0]?.tell("media", "connected");
    expect(connectivity.state.get()).toEqual(fresh);
  });
});
