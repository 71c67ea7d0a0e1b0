// Jingle to session description and back, on recorded descriptions.
import { describe, expect, it } from "vitest";
import { type Jingle, parseJingle, signalledSources, writeContent } from "../src/protocol/jingle";
import { NS } from "../src/protocol/ns";
import { RemoteSections } from "../src/protocol/remote-sections";
import {
  addSimulcast,
  candidateLine,
  contentOf,
  layersOf,
  readCandidate,
  readSdp,
  withSimulcastGroup,
} from "../src/protocol/sdp";
import { child, parse, serialize } from "../src/protocol/xml";
import { fixture } from "./support";

function jingleOf(xml: string): Jingle {
  const element = child(parse(xml.trim()), "jingle", NS.jingle);
  if (element === undefined) throw new Error("no jingle");
  return parseJingle(element);
}

const offer = jingleOf(fixture("bridge-offer.xml"));

function bridgeSections(): RemoteSections {
  return new RemoteSections(offer.contents, (s) => s.owner === "jvb");
}

describe("parseJingle", () => {
  it("reads the offer of a bridge", () => {
    expect(offer).toMatchObject({
      action: "session-initiate",
      sid: "sid1",
      bridgeSession: { id: "bs-1", region: "region1" },
    });
    expect(offer.contents.map((c) => [c.name, c.media])).toEqual([
      ["audio", "audio"],
      ["video", "video"],
      ["data", "application"],
    ]);
    const [audio, video, data] = offer.contents;
    expect(audio?.payloads.map((p) => [p.id, p.name])).toEqual([
      [111, "opus"],
      [126, "telephone-event"],
    ]);
    expect(audio?.sources).toEqual([
      { ssrc: 169720827, name: "jvb-a0", msid: "mixedmslabel mixedlabelaudio0", owner: "jvb" },
    ]);
    expect(video?.payloads.find((p) => p.name === "H264")?.parameters[0]?.value).toBe(
      "42e01f;level-asymmetry-allowed=1;packetization-mode=1;",
    );
    expect(data?.transport?.sctpPort).toBe(5000);
    expect(video?.transport).toMatchObject({ ufrag: "bridgeufrag", pwd: "bridgepassword0123456789" });
    expect(video?.transport?.candidates[0]).toMatchObject({ ip: "203.0.113.7", port: "10000", type: "host" });
  });

  it("tells the browser of DTLS in checks where the bridge takes it", () => {
    const xml = fixture("bridge-offer.xml");
    const options = (of: string): string[] => [
      ...new Set(new RemoteSections(jingleOf(of).contents, () => false).toSdp().match(/a=ice-options:.*/g)),
    ];
    expect(options(xml)).toEqual(["a=ice-options:trickle"]);
    const taking = xml.replaceAll("</transport>", `<sped xmlns="${NS.sped}"/></transport>`);
    expect(options(taking)).toEqual(["a=ice-options:trickle sped googspedv1"]);
  });

  it("expands compact sources, and ignores what is malformed in them", () => {
    const json = {
      sources: {
        "0f9e8d7c": [
          [
            { s: 10, n: "0f9e8d7c-v0", m: "a b" },
            { s: 11, n: "0f9e8d7c-v0", m: "a b" },
            { s: 12, n: "0f9e8d7c-v1", m: "c d", v: "d" },
            { s: "x" },
            { s: -1 },
          ],
          [["f", 10, 11], "junk"],
          [{ s: 20, n: "0f9e8d7c-a0", m: "e f" }],
        ],
        junk: 3,
      },
    };
    const text = JSON.stringify(json).replaceAll('"', "&quot;");
    const jingle = jingleOf(
      `<iq xmlns="jabber:client"><jingle xmlns="${NS.jingle}" action="source-add" sid="s"><json-message xmlns="${NS.jitmeet}">${text}</json-message></jingle></iq>`,
    );
    const video = jingle.contents.find((c) => c.media === "video");
    expect(video && signalledSources(video)).toEqual([
      { name: "0f9e8d7c-v0", owner: "0f9e8d7c", ssrc: 10, rtx: 11, videoType: "camera" },
      { name: "0f9e8d7c-v1", owner: "0f9e8d7c", ssrc: 12, rtx: undefined, videoType: "desktop" },
    ]);
  });
});

describe("RemoteSections", () => {
  it("writes the offer as a description that reads back the same", () => {
    const sections = readSdp(bridgeSections().toSdp());
    expect(sections.map((s) => [s.mid, s.media, s.direction])).toEqual([
      ["0", "audio", "sendrecv"],
      ["1", "video", "sendrecv"],
      ["2", "application", "sendrecv"],
    ]);
    expect(sections[1]?.payloads.map((p) => p.id)).toEqual(offer.contents[1]?.payloads.map((p) => p.id));
    expect(sections[1]?.extensions).toEqual(offer.contents[1]?.extensions);
    expect(sections[1]?.sources).toEqual([{ ssrc: 1943892353, msid: "mixedmslabel mixedlabelvideo0" }]);
    expect(sections[0]?.transport.candidates).toEqual(offer.contents[0]?.transport?.candidates);
    expect(sections[2]?.transport.sctpPort).toBe(5000);
  });

  const camera = {
    name: "0f9e8d7c-v0",
    owner: "0f9e8d7c",
    media: "video",
    ssrc: 100,
    rtx: 101,
    videoType: "camera",
  } as const;

  it("adds an m-line for a new SSRC and relabels a known one", () => {
    const sections = bridgeSections();
    expect(sections.map(camera)).toBe(true);
    const added = readSdp(sections.toSdp())[3];
    expect(added).toMatchObject({ mid: "3", media: "video", direction: "sendonly" });
    expect(added?.groups).toEqual([{ semantics: "FID", ssrcs: [100, 101] }]);
    expect(sections.map({ ...camera, name: "5e6f7a8b-v0", owner: "5e6f7a8b" })).toBe(false);
    expect(sections.sources().map(({ source, mid }) => [source.name, mid])).toEqual([["5e6f7a8b-v0", "3"]]);
  });

  it("takes a source from its old SSRC when it appears on another", () => {
    const sections = bridgeSections();
    sections.map(camera);
    sections.map({ ...camera, ssrc: 200, rtx: 201 });
    expect(sections.sources().map(({ source, mid }) => [source.ssrc, mid])).toEqual([[200, "4"]]);
  });

  it("uses a freed m-line again", () => {
    const sections = bridgeSections();
    sections.map(camera);
    expect(sections.unmap(100)).toBe(true);
    expect(readSdp(sections.toSdp())[3]?.direction).toBe("inactive");
    sections.map({ ...camera, name: "5e6f7a8b-v0", owner: "5e6f7a8b", ssrc: 300, rtx: undefined });
    expect(readSdp(sections.toSdp())).toHaveLength(4);
    expect(readSdp(sections.toSdp())[3]?.sources.map((s) => s.ssrc)).toEqual([300]);
  });

  it("gives a further source of our own an m-line we only send in", () => {
    const sections = bridgeSections();
    expect(sections.addLocal("video", "a1b2c3d4-v1")).toBe("3");
    expect(sections.addLocal("video", "a1b2c3d4-v1")).toBe("3");
    expect(readSdp(sections.toSdp())[3]?.direction).toBe("recvonly");
  });

  it("lets nobody add lines to the description", () => {
    const [audio] = offer.contents;
    if (audio?.transport === undefined) throw new Error("fixture");
    const evil = { ...audio, transport: { ...audio.transport, ufrag: "x\r\na=evil" } };
    const sections = new RemoteSections([evil], () => true);
    expect(sections.toSdp()).not.toContain("\na=evil");
  });
});

describe("our answer", () => {
  const answer = fixture("answer.sdp");

  it("gets three layers with their retransmissions", () => {
    let next = 5000;
    const { sdp, layers } = addSimulcast(answer, "1", 3, () => next++);
    const video = readSdp(sdp)[1];
    expect(layers).toEqual([
      { media: 1590388635, rtx: 3261413287 },
      { media: 5000, rtx: 5001 },
      { media: 5002, rtx: 5003 },
    ]);
    expect(video?.sources.map((s) => s.ssrc)).toEqual([1590388635, 3261413287, 5000, 5001, 5002, 5003]);
    expect(video?.groups[0]).toEqual({ semantics: "SIM", ssrcs: [1590388635, 5000, 5002] });
    expect(new Set(video?.sources.map((s) => s.msid)).size).toBe(1);
    expect(readSdp(sdp)[0]?.sources).toEqual(readSdp(answer)[0]?.sources);
  });

  it("keeps the layers of an earlier description", () => {
    const first = addSimulcast(answer, "1", 3, () => 7);
    const again = addSimulcast(answer, "1", 3, () => 8, first.layers);
    expect(again.layers).toEqual(first.layers);
    expect(addSimulcast(first.sdp, "1", 3, () => 9).sdp).toBe(first.sdp);
  });

  it("is asked for by name of browsers that name their layers, and its SSRCs are told as one picture's", () => {
    const sections = bridgeSections();
    sections.askForLayers(3);
    const lines = sections.toSdp().split("\r\n");
    const rids = lines.filter((l) => /^a=(rid|simulcast):/.test(l));
    expect(rids).toEqual(["a=rid:0 recv", "a=rid:1 recv", "a=rid:2 recv", "a=simulcast:recv 0;1;2"]);
    // As Firefox answers.
    const ssrcs = [11, 12, 21, 22, 31, 32];
    const video = [
      "m=video 9 UDP/TLS/RTP/SAVPF 100 96",
      "a=mid:1",
      "a=sendrecv",
      ...ssrcs.map((ssrc) => `a=ssrc:${ssrc} cname:{c}`),
      "a=ssrc-group:FID 11 12",
      "a=ssrc-group:FID 21 22",
      "a=ssrc-group:FID 31 32",
    ];
    const [section] = readSdp(["v=0", ...video, ""].join("\r\n")).map(withSimulcastGroup);
    expect(section?.groups[0]).toEqual({ semantics: "SIM", ssrcs: [11, 21, 31] });
    expect(section && layersOf(section)).toEqual([
      { media: 11, rtx: 12 },
      { media: 21, rtx: 22 },
      { media: 31, rtx: 32 },
    ]);
    const single = readSdp(answer).map(withSimulcastGroup);
    expect(single.flatMap((s) => s.groups.map((g) => g.semantics))).not.toContain("SIM");
  });

  it("becomes the contents of an accept", () => {
    const { sdp } = addSimulcast(answer, "1", 3, () => 1);
    const section = readSdp(sdp)[1];
    if (section === undefined) throw new Error("fixture");
    expect(layersOf(section)).toHaveLength(3);
    const sources = [
      { ssrc: 1590388635, name: "a1b2c3d4-v0", msid: "m t", owner: "a1b2c3d4", videoType: "camera" },
    ];
    const xml = serialize(writeContent(contentOf(section, "video", sources), "responder"));
    const back = parseJingle(parse(`<jingle xmlns="${NS.jingle}" action="x" sid="s">${xml}</jingle>`))
      .contents[0];
    expect(back?.payloads).toEqual(section.payloads);
    expect(back?.extensions).toEqual(section.extensions);
    expect(back?.groups).toEqual(section.groups);
    expect(back?.transport?.fingerprints).toEqual(section.transport.fingerprints);
    expect(back?.sources[0]).toMatchObject({ ssrc: 1590388635, name: "a1b2c3d4-v0", msid: "m t" });
  });
});

describe("a peer's offer", () => {
  it("is one audio and one video m-line carrying the peer's sources", () => {
    const peer = jingleOf(fixture("peer-offer.xml"));
    expect(peer.contents.map((c) => [c.name, c.media])).toEqual([
      ["0", "audio"],
      ["1", "video"],
    ]);
    const sections = new RemoteSections(peer.contents, () => true);
    const [audio, video] = readSdp(sections.toSdp());
    expect(video?.sources).toHaveLength(2);
    expect(audio?.payloads.find((p) => p.name === "red")?.parameters).toEqual([
      { name: "", value: "111/111" },
    ]);
    // Packets are told apart by SSRC: each side numbers its m-lines by itself.
    expect(video?.extensions.some((e) => e.uri.includes("sdes:"))).toBe(false);
  });
});

describe("candidates", () => {
  it.each([
    "candidate:1 1 udp 2130706431 203.0.113.7 10000 typ host generation 0",
    "candidate:2 1 udp 1694498815 198.51.100.7 40000 typ srflx raddr 10.0.0.2 rport 40000 generation 1",
    "candidate:3 1 tcp 1518280447 192.0.2.9 9 typ host tcptype active generation 0",
  ])("%s survives both ways", (line) => {
    expect(readCandidate(line).map(candidateLine)).toEqual([line]);
  });

  it.each(["", "candidate:1 1 udp", "candidate:1 1 udp 1 203.0.113.7 10000 host"])(
    "%j is refused",
    (line) => {
      expect(readCandidate(line)).toEqual([]);
    },
  );
});
