// Moves to another bridge: a session beside the one there is, which takes its place when everything comes on it.
import { beforeAll, describe, expect, it, vi } from "vitest";
import { NS } from "../src/protocol/ns";
import type { FakePeerConnection } from "./fake-media";
import { ROOM, TRACKS, World } from "./fake-meeting";
import { fixture } from "./support";

beforeAll(() => {
  vi.stubGlobal("RTCRtpReceiver", { getCapabilities: () => ({ codecs: [] }) });
});

const terminate = (sid: string) =>
  `<iq xmlns="jabber:client" type="set" from="${ROOM}/focus" id="t-${sid}"><jingle xmlns="${NS.jingle}" action="session-terminate" sid="${sid}"><reason><success/></reason></jingle></iq>`;
const offer = (sid: string, beside: string) =>
  fixture("bridge-offer.xml")
    .replace("sid='sid1'", `sid='${sid}'`)
    .replace("</jingle>", `<move xmlns="${NS.moves}" sid="${beside}"/></jingle>`);

describe("a session beside another one", () => {
  const map = {
    colibriClass: "VideoSourcesMap",
    mappedSources: [{ source: "0f9e8d7c-v0", owner: "0f9e8d7c", ssrc: 100, rtx: 101, videoType: "CAMERA" }],
  };
  /** Somebody is seen in a session, and another session is offered beside it. */
  async function moving(): Promise<{
    world: World;
    first: FakePeerConnection;
    second: FakePeerConnection;
  }> {
    const world = new World({ p2p: { enabled: false } });
    world.occupant("0f9e8d7c");
    const first = await world.bridge();
    first.ice("connected");
    first.channels[0]?.open();
    first.channels[0]?.receive(map);
    first.moving = true;
    await world.clock.advance(1);
    await world.handle(offer("sid2", "sid1"));
    await world.reply(world.jingles("session-accept").at(-1)?.id ?? "");
    const second = world.pcs.at(-1);
    if (second === undefined || second === first) throw new Error("no second peer connection");
    return { world, first, second };
  }

  it("is taken when everything comes on it, and the other one goes on until the focus ends it", async () => {
    const { world, first, second } = await moving();
    expect(world.sessions.media).toBe("connected");
    const shown = world.sessions.remoteTracks()[0]?.track;
    second.ice("connected");
    second.channels[0]?.open();
    await world.clock.advance(500);
    expect(world.sessions.remoteTracks()[0]?.track).toBe(shown);
    second.channels[0]?.receive(map);
    await world.clock.advance(100);
    expect(world.jingles("session-info")).toEqual([]);
    second.moving = true;
    await world.clock.advance(100);
    const [info] = world.jingles("session-info");
    expect(info?.jingle.sid).toBe("sid2");
    expect(info?.xml).toContain(`<move xmlns="${NS.moves}"/>`);
    expect(world.names()).toEqual(["0f9e8d7c-v0"]);
    expect(world.sessions.bridge?.sid).toBe("sid2");
    expect(first.signalingState).toBe("stable");
    expect(second.transceivers[1]?.sender.track).toBe(TRACKS.video);
    await world.handle(terminate("sid1"));
    expect(first.signalingState).toBe("closed");
    expect(world.sessions.media).toBe("connected");
  });

  it("is taken as it is after a while", async () => {
    const { world, second } = await moving();
    second.ice("connected");
    second.channels[0]?.open();
    await world.clock.advance(3_900);
    expect(world.sessions.bridge?.sid).toBe("sid1");
    await world.clock.advance(200);
    expect(world.sessions.bridge?.sid).toBe("sid2");
  });

  it("is taken at once when the other one ends", async () => {
    const { world, first, second } = await moving();
    await world.handle(terminate("sid1"));
    expect(world.sessions.bridge?.sid).toBe("sid2");
    expect(first.signalingState).toBe("closed");
    expect(world.sessions.media).toBe("connecting");
    second.ice("connected");
    expect(world.sessions.media).toBe("connected");
    expect(world.jingles("session-info")).toEqual([]);
  });

  it("is given up when it ends, and the other one goes on", async () => {
    const { world, second } = await moving();
    await world.handle(terminate("sid2"));
    expect(second.signalingState).toBe("closed");
    expect(world.sessions.bridge?.sid).toBe("sid1");
    expect(world.sessions.media).toBe("connected");
  });

  it("is one in place of the other if it names none that is there", async () => {
    const { world, first, second } = await moving();
    await world.handle(offer("sid3", "sid0"));
    expect([first, second].map((pc) => pc.signalingState)).toEqual(["closed", "closed"]);
    expect(world.sessions.bridge?.sid).toBe("sid3");
  });
});

describe("a spare session", () => {
  /** Somebody is seen in a session, and has a spare one that is connected. */
  async function spare(): Promise<{ world: World; first: FakePeerConnection; second: FakePeerConnection }> {
    const world = new World({ p2p: { enabled: false } });
    world.occupant("0f9e8d7c");
    const first = await world.bridge();
    // It may come early.
    await world.handle(offer("sid2", "sid1").replace("<move ", '<move spare="true" '));
    first.ice("connected");
    await world.reply(world.jingles("session-accept").at(-1)?.id ?? "");
    const second = world.pcs.at(-1);
    if (second === undefined || second === first) throw new Error("no second peer connection");
    second.ice("connected");
    second.channels[0]?.open();
    await world.clock.advance(10_000);
    return { world, first, second };
  }

  it("carries nothing, and everything when the other one ends", async () => {
    const { world, first, second } = await spare();
    expect(world.sessions.bridge?.sid).toBe("sid1");
    expect(second.transceivers[1]?.sender.track).toBeNull();
    expect(second.channels[0]?.sent.at(-1)).toMatchObject({ lastN: 0 });
    await world.handle(terminate("sid1"));
    expect(first.signalingState).toBe("closed");
    expect(world.sessions.bridge?.sid).toBe("sid2");
    expect(world.sessions.media).toBe("connected");
    expect(second.transceivers[1]?.sender.track).toBe(TRACKS.video);
  });

  it("carries everything when the focus says so, and then takes the place of the other one", async () => {
    const { world, first, second } = await spare();
    const info = `<iq xmlns="jabber:client" type="set" from="${ROOM}/focus" id="go"><jingle xmlns="${NS.jingle}" action="session-info" sid="sid2"><move xmlns="${NS.moves}"/></jingle></iq>`;
    await world.handle(info);
    expect(second.transceivers[1]?.sender.track).toBe(TRACKS.video);
    await world.clock.advance(100);
    expect(world.sessions.bridge?.sid).toBe("sid2");
    expect(world.jingles("session-info").at(-1)?.xml).toContain(`<move xmlns="${NS.moves}"/>`);
    expect(first.signalingState).toBe("stable");
    await world.handle(terminate("sid1"));
    expect(first.signalingState).toBe("closed");
  });

  it("is not mended when its path fails: the focus makes another", async () => {
    const { world, first, second } = await spare();
    second.ice("disconnected");
    await world.clock.advance(1_000);
    expect(world.jingles("session-info")).toEqual([]);
    second.ice("failed");
    await world.clock.advance(1);
    expect(second.signalingState).toBe("closed");
    expect(world.jingles("session-terminate").at(-1)?.jingle.sid).toBe("sid2");
    expect(world.sessions.bridge?.sid).toBe("sid1");
    expect(first.signalingState).toBe("stable");
    expect(world.sessions.media).toBe("connected");
  });
});
