// Joining, being in and losing a meeting, against a server played by the test.
import { describe, expect, it, vi } from "vitest";
import { VirtualClock } from "../src/protocol/clock";
import { Conference, type ConferenceEvents } from "../src/protocol/conference";
import { readConfig } from "../src/protocol/config";
import { NS } from "../src/protocol/ns";
import { child, serialize, text, type XmlElement } from "../src/protocol/xml";
import { FakeServer, fixture } from "./support";

const ROOM = "standup@conference.meet.example.com";
const ME = "a1b2c3d4-77aa-4f10-9c55-0e6a2a3b9d01@meet.example.com/Qw3rTy";
const USER = NS.mucUser;

class World {
  readonly clock = new VirtualClock();
  readonly server = new FakeServer(this.clock);
  readonly conference: Conference;
  readonly events: [keyof ConferenceEvents, unknown][] = [];

  constructor(config: Record<string, unknown> = {}) {
    const page = {
      protocol: "https:",
      host: "meet.example.com",
      hostname: "meet.example.com",
      hash: "",
      search: "",
    };
    this.conference = new Conference({
      config: readConfig({ p2p: { enabled: false }, ...config }, page),
      roomName: "standup",
      clock: this.clock,
      machineUid: "uid",
      random: () => 0.5,
      openSocket: (url) => this.server.openSocket(url),
      newPeerConnection: () => ({ close() {}, signalingState: "stable" }) as unknown as RTCPeerConnection,
      codecs: () => ["vp8"],
    });
    for (const event of ["joinFailed", "removed", "mutedByModerator", "personLeft", "message"] as const) {
      this.conference.on(event, (value: unknown) => this.events.push([event, value]));
    }
  }

  get socket() {
    return this.server.socket;
  }

  async online(): Promise<void> {
    this.server.login();
    this.server.bind(ME);
    await this.clock.advance(0);
  }

  sent(name: string, match: (e: XmlElement) => boolean = () => true): XmlElement[] {
    return this.socket.sent.filter((e) => e.name === name && match(e));
  }

  request(): XmlElement {
    const found = this.sent("iq", (e) => child(e, "conference", NS.focus) !== undefined).at(-1);
    if (found === undefined) throw new Error("no conference request");
    return found;
  }

  async answerRequest(
    attrs = 'ready="true" focusjid="focus@auth.meet.example.com"',
    inner = "",
  ): Promise<void> {
    const id = this.request().attrs["id"];
    this.socket.receive(
      `<iq xmlns="jabber:client" type="result" id="${id}" from="focus.meet.example.com"><conference xmlns="${NS.focus}" room="${ROOM}" ${attrs}>${inner}</conference></iq>`,
    );
    await this.settle();
  }

  /** Lets the digest of the capabilities, which the runtime computes on its own thread, finish. */
  async settle(): Promise<void> {
    await this.conference.capsVersion;
    await this.clock.advance(0);
  }

  presence(nick: string, jid: string, inner = "", role = "participant", codes = ""): void {
    this.socket.receive(
      `<presence xmlns="jabber:client" from="${ROOM}/${nick}">${inner}<x xmlns="${USER}"><item affiliation="none" role="${role}" jid="${jid}"/>${codes}</x></presence>`,
    );
  }

  gone(nick: string, inner: string): void {
    this.socket.receive(
      `<presence xmlns="jabber:client" type="unavailable" from="${ROOM}/${nick}"><x xmlns="${USER}">${inner}</x></presence>`,
    );
  }

  async join(): Promise<void> {
    this.conference.join({ name: "Ann" });
    await this.online();
    await this.answerRequest();
    this.presence("focus", "focus@auth.meet.example.com/focus", "", "moderator");
    this.presence("a1b2c3d4", ME, "", "participant", '<status code="110"/>');
    await this.clock.advance(0);
  }
}

describe("joining", () => {
  it("asks the focus, then joins under the endpoint id with muted sources", async () => {
    const world = new World();
    world.conference.join({ name: "Ann" });
    await world.online();
    expect(world.request().attrs["to"]).toBe("focus.meet.example.com");
    expect(world.sent("presence")).toEqual([]);
    await world.answerRequest();
    const [join] = world.sent("presence");
    expect(join?.attrs["to"]).toBe(`${ROOM}/a1b2c3d4`);
    expect(join && text(child(join, "nick", NS.nick))).toBe("Ann");
    expect(JSON.parse(text(join && child(join, "SourceInfo")))).toEqual({
      "a1b2c3d4-a0": { muted: true },
      "a1b2c3d4-v0": { muted: true },
    });
    world.presence("focus", "focus@auth.meet.example.com/focus", "", "moderator");
    world.presence("a1b2c3d4", ME, "", "moderator", '<status code="110"/>');
    await world.clock.advance(0);
    expect(world.conference.state).toBe("joined");
    expect(world.conference.room?.moderator).toBe(true);
    expect(world.conference.room?.occupants.size).toBe(0);
  });

  /** The focus is asked by HTTP, and answers when the test says so. */
  function byHttp(): { world: World; answer: () => Promise<void>; undo: () => void } {
    let release: (response: Response) => void = () => undefined;
    const answered = new Promise<Response>((resolve) => {
      release = resolve;
    });
    const asked = vi.spyOn(globalThis, "fetch").mockReturnValue(answered);
    const conferenceRequestUrl = "https://meet.example.com/conference-request/v1";
    const world = new World({ conferenceRequestUrl, pontoon: { pipelinedLogin: true } });
    const answer = async (): Promise<void> => {
      release(Response.json({ ready: true, focusJid: "focus@auth.meet.example.com" }));
      for (let i = 0; i < 10; i++) await new Promise((done) => setTimeout(done, 0));
      await world.settle();
    };
    return { world, answer, undo: () => asked.mockRestore() };
  }

  it("enters a meeting that is going on before the focus has answered", async () => {
    const { world, undo } = byHttp();
    world.conference.join({ name: "Ann" });
    await world.online();
    await world.settle();
    const [join] = world.sent("presence");
    expect(join?.attrs["to"]).toBe(`${ROOM}/a1b2c3d4`);
    world.presence("focus", "focus@auth.meet.example.com/focus", "", "moderator");
    world.presence("a1b2c3d4", ME, "", "participant", '<status code="110"/>');
    await world.clock.advance(0);
    expect(world.conference.state).toBe("joined");
    undo();
  });

  it("enters one that is not yet there once the focus has answered", async () => {
    const { world, answer, undo } = byHttp();
    world.conference.join({ name: "Ann" });
    await world.online();
    await world.settle();
    world.socket.receive(
      `<presence xmlns="jabber:client" type="error" from="${ROOM}/a1b2c3d4"><error type="cancel"><not-allowed xmlns="${NS.stanzas}"/><text xmlns="${NS.stanzas}">Room creation is restricted</text></error></presence>`,
    );
    await world.clock.advance(0);
    expect(world.sent("presence")).toHaveLength(1);
    await answer();
    expect(world.sent("presence")).toHaveLength(2);
    undo();
  });

  it("asks again while the focus is not ready", async () => {
    const world = new World();
    world.conference.join({ name: "Ann" });
    await world.online();
    await world.answerRequest('ready="false"');
    const before = world.request().attrs["id"];
    await world.clock.advance(1_001);
    expect(world.request().attrs["id"]).not.toBe(before);
  });

  const refusals: readonly [string, string, string][] = [
    ["a password", '<error type="auth"><not-authorized xmlns="%"/></error>', "password-required"],
    ["no more room", '<error type="wait"><service-unavailable xmlns="%"/></error>', "room-full"],
    ["a lobby", '<error type="auth"><registration-required xmlns="%"/></error>', "members-only"],
    [
      "a host",
      '<error type="auth"><registration-required xmlns="%"/><waiting-for-host/></error>',
      "waiting-for-host",
    ],
    [
      "a name",
      '<error type="modify"><not-acceptable xmlns="%"/><displayname-required/></error>',
      "name-required",
    ],
    ["something else", '<error type="cancel"><conflict xmlns="%"/></error>', "join-failed"],
  ];
  it.each(refusals)("says that the room wants %s", async (_, error, code) => {
    const world = new World();
    world.conference.join({ name: "Ann" });
    await world.online();
    await world.answerRequest();
    world.socket.receive(
      `<presence xmlns="jabber:client" type="error" from="${ROOM}/a1b2c3d4">${error.replace("%", NS.stanzas)}</presence>`,
    );
    expect(world.events).toMatchObject([["joinFailed", { code }]]);
  });

  it("joins again with the password the user gives", async () => {
    const world = new World();
    world.conference.join({ name: "Ann" });
    await world.online();
    await world.answerRequest();
    world.socket.receive(
      `<presence xmlns="jabber:client" type="error" from="${ROOM}/a1b2c3d4"><error type="auth"><not-authorized xmlns="${NS.stanzas}"/></error></presence>`,
    );
    world.conference.join({ name: "Ann", password: "s3cret" });
    await world.answerRequest();
    const join = world.sent("presence").at(-1);
    expect(join && serialize(join)).toContain("<password>s3cret</password>");
  });
});

describe("in the room", () => {
  it("reads names and source states of the others from a recorded presence", async () => {
    const world = new World();
    await world.join();
    world.socket.receive(fixture("room-presence.xml").trim());
    const occupant = world.conference.room?.occupants.get("0f9e8d7c");
    expect(occupant?.name).toBe("p1");
    expect(occupant?.sources.get("0f9e8d7c-v0")).toEqual({ muted: true, videoType: "camera" });
    expect(occupant?.sources.get("0f9e8d7c-a0")?.muted).toBe(false);
  });

  it("does not believe source states about somebody else", async () => {
    const world = new World();
    await world.join();
    world.presence(
      "0f9e8d7c",
      "x@meet.example.com/1",
      '<SourceInfo>{"5e6f7a8b-a0":{"muted":false}}</SourceInfo>',
    );
    expect(world.conference.room?.occupants.get("0f9e8d7c")?.sources.size).toBe(0);
  });

  it("says that a moderator muted us, and only if the focus says so", async () => {
    const world = new World();
    await world.join();
    const mute = (from: string): string =>
      `<iq xmlns="jabber:client" type="set" id="m1" from="${from}"><mute xmlns="${NS.muteAudio}" actor="${ROOM}/0f9e8d7c">true</mute></iq>`;
    world.socket.receive(mute(`${ROOM}/0f9e8d7c`));
    expect(world.events).toEqual([]);
    expect(world.socket.last().attrs["type"]).toBe("error");
    world.socket.receive(mute(`${ROOM}/focus`));
    expect(world.events).toEqual([["mutedByModerator", { media: "audio", actor: "0f9e8d7c" }]]);
  });

  it("leaves for good when kicked", async () => {
    const world = new World();
    await world.join();
    world.presence("0f9e8d7c", "b@meet.example.com/1", `<nick xmlns="${NS.nick}">Bob</nick>`);
    world.gone(
      "a1b2c3d4",
      '<item role="none"><actor nick="0f9e8d7c"/><reason>bye</reason></item><status code="110"/><status code="307"/>',
    );
    expect(world.events).toEqual([["removed", { kind: "kicked", by: "Bob", reason: "bye" }]]);
    expect(world.conference.state).toBe("ended");
    expect(world.conference.stream.state).toBe("closed");
  });

  it("comes back when it is put out without a reason", async () => {
    const world = new World();
    await world.join();
    world.gone("a1b2c3d4", '<item role="none"/><status code="110"/>');
    expect(world.conference.state).toBe("reconnecting");
    await world.clock.advance(5_000);
    await world.answerRequest();
    expect(world.sent("presence").at(-1)?.attrs["to"]).toBe(`${ROOM}/a1b2c3d4`);
  });

  it("asks for the focus again when it leaves, and stays in the room", async () => {
    const world = new World();
    await world.join();
    const before = world.request().attrs["id"];
    world.gone("focus", '<item role="none"/>');
    await world.clock.advance(3_000);
    expect(world.request().attrs["id"]).not.toBe(before);
    expect(world.conference.state).toBe("joined");
  });

  it("answers what it can do, and refuses what it does not know", async () => {
    const world = new World();
    await world.join();
    world.socket.receive(
      `<iq xmlns="jabber:client" type="get" id="d1" from="${ROOM}/focus"><query xmlns="${NS.discoInfo}"/></iq>`,
    );
    expect(serialize(world.socket.last())).toContain('var="http://jitsi.org/ssrc-rewriting-1"');
    world.socket.receive(
      `<iq xmlns="jabber:client" type="get" id="d2" from="${ROOM}/focus"><x xmlns="urn:x"/></iq>`,
    );
    expect(serialize(world.socket.last())).toContain("<service-unavailable");
  });

  it("refuses a session of somebody who poses as a focus", async () => {
    const world = new World();
    await world.join();
    const offer = fixture("bridge-offer.xml")
      .trim()
      .replace(`${ROOM}/focus`, "other@conference.meet.example.com/focus");
    world.socket.receive(offer);
    await world.clock.advance(0);
    expect(world.socket.last()).toMatchObject({ attrs: { to: "other@conference.meet.example.com/focus" } });
    expect(serialize(world.socket.last())).toContain("<security-error");
  });

  it("answers an unknown session as such", async () => {
    const world = new World();
    await world.join();
    world.socket.receive(
      `<iq xmlns="jabber:client" type="set" id="j9" from="${ROOM}/focus"><jingle xmlns="${NS.jingle}" action="source-add" sid="none"/></iq>`,
    );
    expect(serialize(world.socket.last())).toContain("<unknown-session");
  });
});

describe("losing the connection", () => {
  it("keeps the room when the session is resumed", async () => {
    const world = new World();
    await world.join();
    world.socket.drop();
    expect(world.conference.state).toBe("reconnecting");
    await world.clock.advance(1_000);
    world.server.login();
    world.socket.receive(`<resumed xmlns="${NS.sm}" h="99" previd="res-1"/>`);
    expect(world.conference.state).toBe("joined");
    expect(world.sent("presence")).toEqual([]);
  });

  it("joins anew, as a new endpoint, when it is not", async () => {
    const world = new World();
    await world.join();
    world.socket.drop();
    await world.clock.advance(1_000);
    world.server.login();
    world.socket.receive(`<failed xmlns="${NS.sm}"/>`);
    world.server.bind("0f9e8d7c-1d2e-4bb0-8a77-4f30c1d2e3f4@meet.example.com/New");
    await world.clock.advance(0);
    await world.answerRequest();
    expect(world.sent("presence").at(-1)?.attrs["to"]).toBe(`${ROOM}/0f9e8d7c`);
    expect(world.conference.state).toBe("reconnecting");
    world.presence(
      "0f9e8d7c",
      "0f9e8d7c-1d2e-4bb0-8a77-4f30c1d2e3f4@meet.example.com/New",
      "",
      "participant",
      '<status code="110"/>',
    );
    expect(world.conference.state).toBe("joined");
  });
});

describe("the waiting room", () => {
  const LOBBY = "standup@lobby.meet.example.com";

  async function refused(): Promise<World> {
    const world = new World();
    world.conference.join({ name: "Ann" });
    await world.online();
    await world.answerRequest();
    world.socket.receive(
      `<presence xmlns="jabber:client" type="error" from="${ROOM}/a1b2c3d4"><error type="auth"><registration-required xmlns="${NS.stanzas}"/><lobbyroom xmlns="${NS.jitmeet}">${LOBBY}</lobbyroom></error></presence>`,
    );
    return world;
  }

  it("is entered to knock, and an invitation leads into the room with its password", async () => {
    const world = await refused();
    expect(world.events).toMatchObject([["joinFailed", { code: "members-only", lobbyRoom: LOBBY }]]);
    world.conference.knock("Ann");
    expect(world.socket.last().attrs["to"]).toBe(`${LOBBY}/a1b2c3d4`);
    world.socket.receive(
      `<message xmlns="jabber:client" from="${ROOM}"><x xmlns="${USER}"><invite from="${ROOM}/0f9e8d7c"/><password>s3cret</password></x></message>`,
    );
    await world.answerRequest();
    expect(serialize(world.socket.last())).toContain("<password>s3cret</password>");
    world.presence("a1b2c3d4", ME, "", "participant", '<status code="110"/>');
    const left = world.sent("presence", (e) => e.attrs["type"] === "unavailable").at(-1);
    expect(left?.attrs["to"]).toBe(`${LOBBY}/a1b2c3d4`);
  });

  it("opens when it is closed in favour of the room", async () => {
    const world = await refused();
    world.conference.knock("Ann");
    world.socket.receive(
      `<presence xmlns="jabber:client" type="unavailable" from="${LOBBY}/a1b2c3d4"><x xmlns="${USER}"><destroy jid="${ROOM}"/></x></presence>`,
    );
    await world.answerRequest();
    expect(world.socket.last().attrs["to"]).toBe(`${ROOM}/a1b2c3d4`);
  });

  it("shows a moderator who knocks, and lets them in through the room", async () => {
    const world = new World();
    const knockers: unknown[] = [];
    world.conference.on("knockers", (list) => knockers.push(list.map((k) => [k.id, k.name])));
    await world.join();
    world.presence("a1b2c3d4", ME, "", "moderator", '<status code="110"/>');
    const disco = world.sent("iq", (e) => child(e, "query", NS.discoInfo) !== undefined).at(-1);
    world.socket.receive(
      `<iq xmlns="jabber:client" type="result" id="${disco?.attrs["id"]}" from="${ROOM}"><query xmlns="${NS.discoInfo}"><feature var="muc_membersonly"/><x xmlns="jabber:x:data" type="result"><field var="muc#roominfo_lobbyroom"><value>${LOBBY}</value></field></x></query></iq>`,
    );
    await world.clock.advance(0);
    expect(world.socket.last().attrs["to"]).toBe(`${LOBBY}/a1b2c3d4`);
    world.socket.receive(
      `<presence xmlns="jabber:client" from="${LOBBY}/77778888"><nick xmlns="${NS.nick}">Carol</nick><x xmlns="${USER}"><item affiliation="none" role="participant" jid="c@meet.example.com/1"/></x></presence>`,
    );
    expect(knockers).toEqual([[["77778888", "Carol"]]]);
    world.conference.admit("77778888");
    expect(serialize(world.socket.last())).toContain('<invite to="c@meet.example.com/1"/>');
    expect(world.socket.last().attrs["to"]).toBe(ROOM);
  });
});
