// What is said about the connections.
import { describe, expect, it } from "vitest";
import { Connectivity, standingOf } from "../../src/model/connectivity";
import { Ground } from "../fake-conference";

describe("connectivity", () => {
  const world = (): Ground & { connectivity: Connectivity } => {
    const ground = new Ground();
    return Object.assign(ground, { connectivity: new Connectivity(ground.link, ground.notices) });
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
