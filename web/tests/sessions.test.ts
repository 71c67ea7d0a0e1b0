// Media sessions: answering the focus, following the source maps, mending a lost path, and going direct.
import { beforeAll, describe, expect, it, vi } from "vitest";
import { readBlockage } from "../src/protocol/blockage";
import { codecOrder, decodableCodecs } from "../src/protocol/codec-choice";
import { NS } from "../src/protocol/ns";
import type { LocalTracks } from "../src/protocol/peer-media";
import { readSdp } from "../src/protocol/sdp";
import { ROOM, TRACKS, track, World } from "./fake-meeting";
import { fixture } from "./support";

beforeAll(() => {
  vi.stubGlobal("RTCRtpReceiver", { getCapabilities: () => ({ codecs: [] }) });
});

describe("the codec to send", () => {
  it.each<[readonly string[], readonly (readonly string[])[], string]>([
    [["av1", "vp8"], [], "av1"],
    [
      ["h264", "vp8"],
      [
        ["vp8", "vp9", "av1"],
        ["h264", "vp8"],
      ],
      "vp8",
    ],
    [["h264"], [["vp8"], ["vp8", "h264"]], "vp8"],
    [["av1", "vp8"], [[], ["AV1"]], "av1"],
    // No codec suits all: the one that most can decode.
    [["av1", "h264"], [["vp8"], ["h264"], ["h264"]], "h264"],
  ])("of %j for people who decode %j is %s", (preferred, others, codec) => {
    expect(codecOrder(preferred, others)[0]).toBe(codec);
  });
  it("is chosen from all that a browser decodes, not only what the deployment prefers", () => {
    expect(decodableCodecs(["h264"], ["video/VP8", "video/rtx", "video/H264"])).toEqual(["h264", "vp8"]);
  });
});

describe("the bridge session", () => {
  it("accepts an offer with named sources in three layers", async () => {
    const world = new World();
    const reply = await world.handle(fixture("bridge-offer.xml"));
    expect(reply?.attrs).toMatchObject({ type: "result", id: "j1", to: `${ROOM}/focus` });
    const [accept] = world.jingles("session-accept");
    expect(accept?.to).toBe(`${ROOM}/focus`);
    expect(accept?.jingle).toMatchObject({ sid: "sid1", initiator: `${ROOM}/focus` });
    const [audio, video, data] = accept?.jingle.contents ?? [];
    expect([audio?.name, video?.name, data?.name]).toEqual(["audio", "video", "data"]);
    expect(audio?.sources.map((s) => s.name)).toEqual(["a1b2c3d4-a0"]);
    expect(new Set(video?.sources.map((s) => `${s.name} ${s.videoType}`))).toEqual(
      new Set(["a1b2c3d4-v0 camera"]),
    );
    expect(new Set(video?.sources.map((s) => s.msid)).size).toBe(1);
    expect(video?.groups.map((g) => g.semantics)).toEqual(["SIM", "FID", "FID", "FID"]);
    expect(data?.transport?.sctpPort).toBe(5000);
    expect(audio?.transport?.fingerprints[0]?.setup).toBe("active");
  });

  it("offers the browser the preferred codec first, with all others behind", async () => {
    const world = new World({ videoQuality: { codecPreferenceOrder: ["VP8", "VP9"] } });
    const pc = await world.bridge();
    const names = readSdp(pc.remotes[0] ?? "")[1]?.payloads.map((p) => p.name);
    expect(names?.slice(0, 2)).toEqual(["VP8", "VP9"]);
    expect(names).toHaveLength(8);
  });

  it("sends a codec that everybody can decode, and decides anew as people come and go", async () => {
    const world = new World({
      p2p: { enabled: false },
      videoQuality: { codecPreferenceOrder: ["H264", "VP8"] },
    });
    const first = () => readSdp(pc.remotes.at(-1) ?? "")[1]?.payloads[0]?.name;
    world.decoder("11111111", "h264,vp8,vp9,av1");
    const pc = await world.bridge();
    expect(first()).toBe("H264");
    world.decoder("22222222", "VP8,VP9,AV1");
    await world.clock.advance(1);
    expect(first()).toBe("VP8");
    const negotiations = pc.remotes.length;
    world.decoder("33333333", "vp8,h264");
    world.occupant("44444444");
    await world.clock.advance(1);
    expect(pc.remotes).toHaveLength(negotiations);
    world.gone("22222222");
    await world.clock.advance(1);
    expect(first()).toBe("H264");
  });

  it("answers an offer with what those who were here before can decode", async () => {
    const world = new World({
      p2p: { enabled: false },
      videoQuality: { codecPreferenceOrder: ["H264", "VP8"] },
    });
    world.decoder("22222222", "vp8,vp9");
    const pc = await world.bridge();
    expect(readSdp(pc.remotes[0] ?? "")[1]?.payloads[0]?.name).toBe("VP8");
  });

  it("adds an m-line for a mapped SSRC, and only relabels when the SSRC is known", async () => {
    const world = new World();
    const pc = await world.bridge();
    pc.channels[0]?.open();
    const map = (source: string, ssrc: number) => ({
      colibriClass: "VideoSourcesMap",
      mappedSources: [{ source, owner: source.slice(0, 8), ssrc, rtx: ssrc + 1, videoType: "CAMERA" }],
    });
    pc.channels[0]?.receive(map("0f9e8d7c-v0", 100));
    await world.clock.advance(1);
    expect(world.names()).toEqual(["0f9e8d7c-v0"]);
    expect(readSdp(pc.remotes.at(-1) ?? "")[3]?.groups).toEqual([{ semantics: "FID", ssrcs: [100, 101] }]);
    const before = pc.remotes.length;
    pc.channels[0]?.receive(map("5e6f7a8b-v0", 100));
    await world.clock.advance(1);
    expect(world.names()).toEqual(["5e6f7a8b-v0"]);
    expect(pc.remotes).toHaveLength(before);
    pc.channels[0]?.receive(map("a1b2c3d4-v0", 300));
    await world.clock.advance(1);
    expect(world.names()).toEqual(["5e6f7a8b-v0"]);
  });

  it("repeats what it wants on every opening of the channel", async () => {
    const world = new World();
    world.sessions.setReceiverConstraints({
      lastN: -1,
      onStageSources: [],
      selectedSources: [],
      defaultConstraints: { maxHeight: 180 },
      constraints: {},
    });
    const pc = await world.bridge();
    expect(pc.channels[0]?.sent).toEqual([]);
    pc.channels[0]?.open();
    expect(pc.channels[0]?.sent).toEqual([
      { colibriClass: "SourceVideoTypeMessage", sourceName: "a1b2c3d4-v0", videoType: "camera" },
      {
        colibriClass: "ReceiverVideoConstraints",
        lastN: -1,
        onStageSources: [],
        selectedSources: [],
        defaultConstraints: { maxHeight: 180 },
        constraints: {},
      },
    ]);
  });

  it("stops layers that nobody wants", async () => {
    const world = new World();
    const pc = await world.bridge();
    pc.channels[0]?.open();
    const active = () => pc.transceivers[1]?.sender.parameters.encodings.map((e) => e["active"]);
    await world.clock.advance(1);
    expect(active()).toEqual([true, true, true]);
    pc.channels[0]?.receive({
      colibriClass: "SenderSourceConstraints",
      sourceName: "a1b2c3d4-v0",
      maxHeight: 180,
    });
    await world.clock.advance(1);
    expect(active()).toEqual([true, false, false]);
    pc.channels[0]?.receive({
      colibriClass: "SenderSourceConstraints",
      sourceName: "a1b2c3d4-v0",
      maxHeight: "720",
    });
    await world.clock.advance(1);
    expect(active()).toEqual([true, false, false]);
  });

  it("asks for an ICE restart in place, and for a new session if that is refused", async () => {
    const world = new World();
    const pc = await world.bridge();
    pc.ice("connected");
    expect(world.sessions.media).toBe("connected");
    pc.ice("failed");
    expect(world.sessions.media).toBe("interrupted");
    const [info] = world.jingles("session-info");
    expect(info?.xml).toContain('ice-restart="true"');
    await world.reply(info?.id ?? "", "feature-not-implemented");
    const [terminate] = world.jingles("session-terminate");
    expect(terminate?.xml).toContain('restart="true"');
    expect(pc.signalingState).toBe("closed");
    await world.reply(terminate?.id ?? "");
    expect(world.broken).toEqual([]);
    await world.bridge();
    expect(world.pcs).toHaveLength(2);
  });

  it("asks for nothing while the server cannot be reached, and at once when it can", async () => {
    const world = new World();
    const pc = await world.bridge();
    pc.ice("connected");
    world.sessions.setOnline(false);
    pc.ice("disconnected");
    pc.ice("failed");
    await world.clock.advance(8_000);
    expect(world.jingles("session-info")).toEqual([]);
    expect(world.jingles("session-terminate")).toEqual([]);
    expect(world.sessions.media).toBe("interrupted");
    world.sessions.setOnline(true);
    await world.clock.advance(1);
    expect(world.jingles("session-info")).toHaveLength(1);
    pc.ice("connected");
    expect(world.sessions.media).toBe("connected");
  });

  it("asks again for what the server did not hear because the connection broke over it", async () => {
    const world = new World();
    const pc = await world.bridge();
    pc.ice("connected");
    pc.ice("failed");
    world.sessions.setOnline(false);
    await world.clock.advance(20_000);
    expect(world.jingles("session-terminate")).toEqual([]);
    world.sessions.setOnline(true);
    await world.clock.advance(1);
    expect(world.jingles("session-info")).toHaveLength(2);
  });

  it("gives up on the room only when the focus refuses another session", async () => {
    const world = new World({ enableIceRestart: false });
    const pc = await world.bridge();
    pc.ice("failed");
    const [terminate] = world.jingles("session-terminate");
    await world.reply(terminate?.id ?? "", "resource-constraint");
    expect(world.broken).toEqual(["resource-constraint"]);
  });

  it("mends as soon as the browser calls the path disconnected, once", async () => {
    const world = new World();
    const pc = await world.bridge();
    pc.ice("connected");
    pc.ice("disconnected");
    expect(world.jingles("session-info")).toHaveLength(1);
    await world.clock.advance(1_000);
    pc.ice("failed");
    expect(world.jingles("session-info")).toHaveLength(1);
  });

  it("mends at once when the network has changed and nothing comes any more", async () => {
    const world = new World();
    const pc = await world.bridge();
    pc.ice("connected");
    world.sessions.checkPaths();
    await world.clock.advance(400);
    expect(world.jingles("session-info")).toHaveLength(1);
    // Nothing says so to the user before the browser does: most changes are over by then.
    expect(world.sessions.media).toBe("connected");
  });

  it("leaves a path alone that still carries packets after the network has changed", async () => {
    const world = new World();
    const pc = await world.bridge();
    pc.ice("connected");
    pc.bytes = 1000;
    world.sessions.checkPaths();
    await world.clock.advance(100);
    pc.bytes = 2000;
    await world.clock.advance(20_000);
    expect(world.jingles("session-info")).toEqual([]);
  });

  it("notices within a second and a half that moving pictures stand still because nothing comes", async () => {
    const world = new World();
    const still: unknown[] = [];
    world.sessions.on("still", () => still.push(1));
    const pc = await world.bridge();
    pc.ice("connected");
    for (let at = 0; at < 4_000; at += 100) {
      pc.picture = at;
      pc.bytes += 100;
      await world.clock.advance(100);
    }
    expect(world.jingles("session-info")).toEqual([]);
    await world.clock.advance(1_500);
    expect(still).toHaveLength(1);
    expect(world.jingles("session-info")).toHaveLength(1);
  });

  it("mends as soon as the server is back when the way to it was lost together with that of the media", async () => {
    for (const [lost, mended] of [
      [true, 1],
      [false, 0],
    ] as const) {
      const world = new World();
      const pc = await world.bridge();
      pc.ice("connected");
      const time = async (from: number, to: number, moving: boolean): Promise<void> => {
        for (let at = from; at < to; at += 100) {
          if (moving) pc.picture = at;
          if (moving) pc.bytes += 100;
          await world.clock.advance(100);
        }
      };
      await time(0, 4_000, true);
      world.sessions.setOnline(false);
      await time(4_000, 4_300, !lost);
      world.sessions.setOnline(true);
      await time(4_300, 4_500, !lost);
      expect(world.jingles("session-info")).toHaveLength(mended);
    }
  });

  it("does not mend because pictures stand still while packets come", async () => {
    const world = new World();
    const pc = await world.bridge();
    pc.ice("connected");
    for (let at = 0; at < 8_000; at += 100) {
      if (at < 4_000) pc.picture = at;
      pc.bytes += 100;
      await world.clock.advance(100);
    }
    expect(world.jingles("session-info")).toEqual([]);
  });

  it("gives new credentials time, and mends another loss after that", async () => {
    const world = new World();
    const pc = await world.bridge();
    pc.ice("connected");
    world.sessions.checkPaths();
    await world.clock.advance(400);
    const info = (generation: number): string =>
      `<iq xmlns="jabber:client" type="set" id="t${generation}" from="${ROOM}/focus"><jingle xmlns="${NS.jingle}" action="transport-info" sid="sid1"><content name="audio" creator="initiator"><transport xmlns="${NS.iceUdp}" ice-generation="${generation}" ufrag="newufrag" pwd="newpassword"/></content></jingle></iq>`;
    await world.handle(info(1));
    world.sessions.checkPaths();
    await world.clock.advance(400);
    expect(world.jingles("session-info")).toHaveLength(1);
    await world.clock.advance(4_000);
    world.sessions.checkPaths();
    await world.clock.advance(400);
    expect(world.jingles("session-info")).toHaveLength(2);
  });

  it("applies new credentials once and answers with its own", async () => {
    const world = new World();
    const pc = await world.bridge();
    const info = `<iq xmlns="jabber:client" type="set" id="t1" from="${ROOM}/focus"><jingle xmlns="${NS.jingle}" action="transport-info" sid="sid1"><content name="audio" creator="initiator"><transport xmlns="${NS.iceUdp}" ice-generation="1" ufrag="newufrag" pwd="newpassword"/></content></jingle></iq>`;
    await world.handle(info);
    expect(pc.remotes.at(-1)).toContain("a=ice-ufrag:newufrag");
    expect(world.jingles("transport-info")[0]?.jingle.contents[0]?.transport?.iceGeneration).toBe(1);
    const count = pc.remotes.length;
    await world.handle(info.replace("t1", "t2"));
    expect(pc.remotes).toHaveLength(count);
  });

  it("closes when the focus ends it, and takes a new offer", async () => {
    const world = new World();
    const pc = await world.bridge();
    await world.handle(
      `<iq xmlns="jabber:client" type="set" id="e1" from="${ROOM}/focus"><jingle xmlns="${NS.jingle}" action="session-terminate" sid="sid1"/></iq>`,
    );
    expect(pc.signalingState).toBe("closed");
    expect(world.sessions.media).toBe("none");
  });

  it("signals a shared screen once, with an m-line of its own", async () => {
    const world = new World();
    const pc = await world.bridge();
    const shared = world.sessions.setTracks({ ...TRACKS, desktop: track(1080) });
    await world.clock.advance(1);
    const add = world.jingles("source-add");
    // The recorded description has no fourth m-line, so there is nothing to name; the m-line itself counts.
    expect(readSdp(pc.remotes.at(-1) ?? "")[3]).toMatchObject({ media: "video", direction: "recvonly" });
    for (const { id } of add) await world.reply(id);
    await shared;
    expect(pc.transceivers[2]?.direction).toBe("sendonly");
    const count = pc.remotes.length;
    await world.sessions.setTracks(TRACKS);
    await world.sessions.setTracks({ ...TRACKS, desktop: track(1080) });
    expect(pc.remotes).toHaveLength(count);
  });

  it("signals a screen that was shared before the session began", async () => {
    const world = new World();
    const desktop = track(1080);
    void world.sessions.setTracks({ ...TRACKS, desktop });
    const pc = await world.bridge();
    await world.clock.advance(1);
    expect(readSdp(pc.remotes.at(-1) ?? "")[3]).toMatchObject({ media: "video", direction: "recvonly" });
    expect(pc.transceivers[2]?.sender.track).toBe(desktop);
  });

  it("does not keep who shares a screen waiting for a session that ends before it began", async () => {
    const world = new World();
    await world.handle(fixture("bridge-offer.xml"));
    const shared = world.sessions.setTracks({ ...TRACKS, desktop: track(1080) });
    await world.handle(
      `<iq xmlns="jabber:client" type="set" id="e1" from="${ROOM}/focus"><jingle xmlns="${NS.jingle}" action="session-terminate" sid="sid1"/></iq>`,
    );
    await shared;
  });

  it("sends nothing that was muted while it was being attached", async () => {
    const world = new World();
    await world.sessions.setTracks({ ...TRACKS, video: null });
    const pc = await world.bridge();
    await Promise.all([
      world.sessions.setTracks(TRACKS),
      world.sessions.setTracks({ ...TRACKS, video: null }),
    ]);
    expect(pc.transceivers[1]?.sender.track).toBe(null);
  });
});

describe("going direct", () => {
  const OTHER = "0f9e8d7c";

  it("is started by the smaller endpoint id", async () => {
    const larger = new World();
    larger.occupant(OTHER);
    await larger.clock.advance(10);
    expect(larger.jingles("session-initiate")).toEqual([]);
    const smaller = new World({}, "00000001");
    smaller.occupant(OTHER);
    await smaller.clock.advance(10);
    const [initiate] = smaller.jingles("session-initiate");
    expect(initiate?.to).toBe(`${ROOM}/${OTHER}`);
    expect(initiate?.jingle.contents.map((c) => c.name)).toEqual(["0", "1"]);
    expect(initiate?.jingle.contents[1]?.sources[0]?.name).toBe("00000001-v0");
    expect(initiate?.xml).not.toContain("sdes:mid");
  });

  describe("while the own offer is on its way", () => {
    const NOTHING: LocalTracks = { audio: null, video: null, desktop: null };

    async function offered(tracks: LocalTracks): Promise<World> {
      const world = new World({}, "00000001");
      await world.sessions.setTracks(tracks);
      world.occupant(OTHER);
      await world.clock.advance(10);
      return world;
    }

    async function answered(world: World): Promise<(MediaStreamTrack | null)[]> {
      const [initiate] = world.jingles("session-initiate");
      await world.reply(initiate?.id ?? "");
      await world.handle(
        fixture("peer-offer.xml")
          .replace("session-initiate", "session-accept")
          .replace("c0ffee123456", initiate?.jingle.sid ?? ""),
      );
      world.pcs[0]?.ice("connected");
      await world.clock.advance(1);
      return world.pcs[0]?.transceivers.map((t) => t.sender.track as MediaStreamTrack | null) ?? [];
    }

    it("a camera and a microphone that are found are sent", async () => {
      const world = await offered(NOTHING);
      void world.sessions.setTracks(TRACKS);
      expect(await answered(world)).toEqual([TRACKS.audio, TRACKS.video]);
    });

    it("a camera and a microphone that are muted are not sent", async () => {
      const world = await offered(TRACKS);
      void world.sessions.setTracks(NOTHING);
      expect(await answered(world)).toEqual([null, null]);
    });

    it("a screen that is shared gets its m-line after the answer", async () => {
      const world = await offered(TRACKS);
      const desktop = track(1080);
      void world.sessions.setTracks({ ...TRACKS, desktop });
      expect(await answered(world)).toEqual([TRACKS.audio, TRACKS.video, desktop]);
    });

    it("the height that is wanted is told after the answer", async () => {
      const world = await offered(TRACKS);
      world.sessions.setReceiverConstraints({
        lastN: -1,
        selectedSources: [],
        onStageSources: [],
        defaultConstraints: { maxHeight: 360 },
        constraints: {},
      });
      world.pcs[0]?.ice("connected");
      expect(world.jingles("content-modify")).toEqual([]);
      await answered(world);
      expect(world.jingles("content-modify")[0]?.xml).toContain('maxHeight="360"');
    });
  });

  it("accepts a recorded offer, and shows the peer once connected", async () => {
    const world = new World();
    world.occupant(OTHER);
    await world.handle(fixture("peer-offer.xml"));
    const [accept] = world.jingles("session-accept");
    expect(accept?.jingle).toMatchObject({ sid: "c0ffee123456", initiator: `${ROOM}/${OTHER}` });
    expect(accept?.jingle.contents.map((c) => c.name)).toEqual(["audio", "video"]);
    await world.reply(accept?.id ?? "");
    expect(world.names()).toEqual([]);
    world.pcs[0]?.ice("connected");
    expect(world.names()).toEqual([`${OTHER}-a0`, `${OTHER}-v0`]);
    expect(world.sessions.usesPeer).toBe(true);
  });

  it("stops sending to the bridge meanwhile, and sends again when a third comes", async () => {
    const world = new World();
    world.occupant(OTHER);
    const bridge = await world.bridge();
    bridge.ice("connected");
    await world.handle(fixture("peer-offer.xml"));
    world.pcs[1]?.ice("connected");
    await world.clock.advance(1);
    expect(bridge.transceivers[1]?.sender.track).toBe(null);
    world.occupant("5e6f7a8b");
    await world.clock.advance(1);
    expect(bridge.transceivers[1]?.sender.track).toBe(TRACKS.video);
    expect(world.jingles("session-terminate").at(-1)?.xml).toContain("<success/>");
    expect(world.sessions.usesPeer).toBe(false);
    expect(world.sessions.media).toBe("connected");
  });

  it("says that the direct path is interrupted, and that it has healed", async () => {
    const world = new World();
    world.occupant(OTHER);
    const bridge = await world.bridge();
    bridge.ice("connected");
    await world.handle(fixture("peer-offer.xml"));
    world.pcs[1]?.ice("connected");
    world.pcs[1]?.ice("disconnected");
    expect(world.sessions.media).toBe("interrupted");
    world.pcs[1]?.ice("connected");
    expect(world.sessions.media).toBe("connected");
    await world.clock.advance(5_000);
    expect(world.sessions.usesPeer).toBe(true);
  });

  it("goes on over the bridge when the direct path breaks, and says so", async () => {
    const world = new World();
    const peer: boolean[] = [];
    world.sessions.on("peer", (on) => peer.push(on));
    world.occupant(OTHER);
    const bridge = await world.bridge();
    bridge.ice("connected");
    await world.handle(fixture("peer-offer.xml"));
    world.pcs[1]?.ice("connected");
    world.pcs[1]?.ice("disconnected");
    await world.clock.advance(4_000);
    expect(peer).toEqual([true, false]);
    expect(world.sessions.media).toBe("connected");
    expect(bridge.transceivers[1]?.sender.track).toBe(TRACKS.video);
  });

  it("is tried again a little later when it once worked", async () => {
    const world = new World({}, "00000001");
    world.occupant(OTHER);
    await world.clock.advance(10);
    world.pcs[0]?.ice("connected");
    world.pcs[0]?.ice("disconnected");
    await world.clock.advance(4_000);
    expect(world.jingles("session-initiate")).toHaveLength(1);
    await world.clock.advance(5_000);
    expect(world.jingles("session-initiate")).toHaveLength(2);
  });

  it("waits for the server while that cannot be reached", async () => {
    const world = new World({}, "00000001");
    world.sessions.setOnline(false);
    world.occupant(OTHER);
    await world.clock.advance(9_000);
    expect(world.jingles("session-initiate")).toEqual([]);
    world.sessions.setOnline(true);
    await world.clock.advance(10);
    expect(world.jingles("session-initiate")).toHaveLength(1);
  });

  it("declines when there are three, or when it is off", async () => {
    const three = new World();
    three.occupant(OTHER);
    three.occupant("5e6f7a8b");
    await three.handle(fixture("peer-offer.xml"));
    expect(three.jingles("session-terminate")[0]?.xml).toContain("<decline/>");
    const off = new World({ p2p: { enabled: false } });
    off.occupant(OTHER);
    await off.handle(fixture("peer-offer.xml"));
    expect(off.jingles("session-terminate")[0]?.xml).toContain("<decline/>");
  });

  it("waits before it goes back after the third left, and does not retry with a peer it failed with", async () => {
    const world = new World({}, "00000001");
    world.occupant(OTHER);
    world.occupant("5e6f7a8b");
    world.gone("5e6f7a8b");
    await world.clock.advance(4_000);
    expect(world.jingles("session-initiate")).toEqual([]);
    await world.clock.advance(1_500);
    expect(world.jingles("session-initiate")).toHaveLength(1);
    world.pcs[0]?.ice("failed");
    world.sessions.onRoster();
    await world.clock.advance(8_000);
    expect(world.jingles("session-initiate")).toHaveLength(1);
  });
});

describe("media that does not connect", () => {
  const local = { type: "local-candidate", protocol: "udp", port: 5000 };
  const remote = { type: "remote-candidate", protocol: "udp", address: "203.0.113.5", port: 10_000 };
  const pair = (more: Record<string, unknown>): Record<string, unknown> => ({
    type: "candidate-pair",
    ...more,
  });

  it("is blamed on the network when nothing comes back", () => {
    const blockage = readBlockage([local, remote, remote, pair({ requestsSent: 9, bytesReceived: 0 })]);
    expect(blockage).toEqual({
      why: "network",
      doors: [{ protocol: "udp", host: "203.0.113.5", port: 10_000 }],
    });
  });

  it("is blamed on it too when something came before and nothing does now", () => {
    const before = { bytesReceived: 999, lastPacketReceivedTimestamp: 1_000, timestamp: 9_000 };
    expect(readBlockage([local, remote, pair(before)]).why).toBe("network");
  });

  it("is blamed on the server when that answers or offers nothing, on the browser when it has no address", () => {
    expect(readBlockage([local, remote, pair({ bytesReceived: 100 })]).why).toBe("server");
    expect(readBlockage([local]).why).toBe("server");
    expect(readBlockage([remote]).why).toBe("browser");
  });
});
