// What a link may change, and whether it may lead into the meeting without a click.
import { describe, expect, it } from "vitest";
import { type Embedder, readConfig, readLink } from "../src/protocol/config";

const PAGE = { protocol: "https:", host: "m.example:8443", hostname: "m.example", hash: "", search: "" };
const OPERATOR = {
  hosts: { domain: "m.example", muc: "conference.m.example" },
  websocket: "wss://m.example:8443/xmpp-websocket",
  bosh: "https://m.example:8443/http-bind",
  p2p: { enabled: true, stunServers: [{ urls: "stun:stun.m.example" }] },
  prejoinConfig: { enabled: true },
  constraints: { video: { height: { ideal: 720 } } },
  embedOrigins: ["https://intra.example"],
};

function linked(hash: string, raw: unknown = OPERATOR, embedder?: Embedder) {
  return readConfig(raw, { ...PAGE, hash }, embedder);
}

describe("a link", () => {
  it("sets how much is sent and received, and the name", () => {
    const hash =
      "#config.p2p.enabled=false&userInfo.displayName=%22%20Ann%20M%22&config.resolution=360&config.channelLastN=4";
    expect(linked(hash)).toMatchObject({
      p2pEnabled: false,
      displayName: "Ann M",
      resolution: 360,
      lastN: 4,
    });
    expect(linked(`#userInfo.displayName="${"x".repeat(500)}"`).displayName).toHaveLength(80);
  });

  it("never sets servers, whom to trust, or anything that is not listed", () => {
    const all = readConfig(OPERATOR, PAGE);
    for (const [key, value] of [
      ["config.hosts.domain", '"evil"'],
      ["config.hosts", '{"domain":"evil"}'],
      ["config.websocket", '"wss://evil"'],
      ["config.bosh", '"https://evil"'],
      ["config.conferenceRequestUrl", '"https://evil"'],
      ["config.focusUserJid", '"evil@evil"'],
      ["config.hiddenDomain", '"evil"'],
      ["config.p2p.stunServers", '[{"urls":"stun:evil"}]'],
      ["config.p2p", '{"stunServers":[{"urls":"stun:evil"}]}'],
      ["config", '{"websocket":"wss://evil"}'],
      ["config.embedOrigins", '["https://evil"]'],
      ["config.useTurnUdp", "true"],
      ["config.bridgeChannel.preferSctp", "false"],
      ["config.bridgeChannel.ignoreDomain", '"evil"'],
      ["config.flags.ssrcRewritingEnabled", "false"],
      ["config.videoQuality.codecPreferenceOrder", '["H264"]'],
      ["config.xmppPing.interval", "1"],
      ["config.deploymentInfo.userRegion", '"evil"'],
      ["config.__proto__.websocket", '"wss://evil"'],
      ["config.constructor.prototype.x", "1"],
      ["userInfo.email", '"a@b"'],
      ["toString", "1"],
    ] as const) {
      expect(linked(`#${key}=${encodeURIComponent(value)}`), key).toEqual(all);
    }
    expect(readLink("#config.__proto__.x=1&other.a=1&config=2&constructor=1").size).toBe(0);
  });

  it("only makes the client more reserved than the operator asks", () => {
    const all = readConfig(OPERATOR, PAGE);
    const open =
      "#config.startWithAudioMuted=false&config.startWithVideoMuted=false&config.requireDisplayName=false";
    expect(linked(open)).toEqual(all);
    expect(linked("#config.p2p.enabled=true", { ...OPERATOR, p2p: { enabled: false } }).p2pEnabled).toBe(
      false,
    );
    const shy =
      "#config.startWithAudioMuted=true&config.startWithVideoMuted=true&config.requireDisplayName=true";
    expect(linked(shy)).toMatchObject({
      startWithAudioMuted: true,
      startWithVideoMuted: true,
      requireName: true,
    });
  });

  it("with values that make no sense is as if it had none", () => {
    const all = readConfig(OPERATOR, PAGE);
    for (const value of ["-1", "0", "1e9", '"720"', "null", "{}", "[1]", "", "%", "720.5"])
      expect(linked(`#config.resolution=${value}`), value).toEqual(all);
  });

  it("brings a token, and nothing beside it", () => {
    const token = (search: string) => readConfig(OPERATOR, { ...PAGE, search }).token;
    expect(token("?jwt=eyJh.eyJi.c-_1")).toBe("eyJh.eyJi.c-_1");
    expect(token(`?jwt=${encodeURIComponent("a.b.c&previd=x")}`)).toBeUndefined();
    expect(token("?jwt=")).toBeUndefined();
  });
});

describe("entering without a click", () => {
  const asks = "#config.prejoinConfig.enabled=false";
  const from = (more: Partial<Embedder>): Embedder => ({
    framed: false,
    ancestors: undefined,
    referrer: "",
    ...more,
  });
  const framed = (...ancestors: string[]): Embedder => from({ framed: true, ancestors });

  it("is the operator's to allow", () => {
    expect(linked(asks).prejoin).toBe(true);
    expect(linked("#config.prejoinPageEnabled=false").prejoin).toBe(true);
    expect(linked("", { ...OPERATOR, prejoinConfig: { enabled: false } }).prejoin).toBe(false);
    expect(
      linked("#config.prejoinConfig.enabled=true", { ...OPERATOR, prejoinConfig: { enabled: false } })
        .prejoin,
    ).toBe(true);
  });

  it.each<[string, Embedder, boolean]>([
    ["a link from nowhere", from({}), true],
    ["a link on another page", from({ referrer: "https://evil.example/x" }), true],
    ["a link on a page that is named", from({ referrer: "https://intra.example/wiki" }), false],
    ["a host that only begins alike", from({ referrer: "https://intra.example.evil/x" }), true],
    ["another scheme", from({ referrer: "http://intra.example/" }), true],
    ["framed by a page that is named", framed("https://intra.example"), false],
    ["framed by another", framed("https://evil.example"), true],
    ["framed by one that another frames", framed("https://intra.example", "https://evil.example"), true],
    [
      "framed by our own, in one that is named",
      framed("https://m.example:8443", "https://intra.example"),
      false,
    ],
    ["framed by our own alone", framed("https://m.example:8443"), true],
    [
      "framed, and the page around lies about where the link is from",
      from({ framed: true, ancestors: ["https://evil.example"], referrer: "https://intra.example/" }),
      true,
    ],
    [
      "framed, where the browser tells no ancestors",
      from({ framed: true, referrer: "https://intra.example/" }),
      false,
    ],
  ])("%s", (_what, embedder, prejoin) => {
    expect(linked(asks, OPERATOR, embedder).prejoin).toBe(prejoin);
    expect(linked("", OPERATOR, embedder).prejoin).toBe(true);
  });
});
