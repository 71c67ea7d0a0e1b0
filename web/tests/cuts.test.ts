// A network that is gone for a while, against a server that remembers sessions for a minute; all on virtual time.
import { describe, expect, it } from "vitest";
import { VirtualClock } from "../src/protocol/clock";
import { Conference } from "../src/protocol/conference";
import { readConfig } from "../src/protocol/config";
import { NS } from "../src/protocol/ns";
import type { Socket } from "../src/protocol/stream";
import { child, parse, type XmlElement } from "../src/protocol/xml";

const ROOM = "standup@conference.meet.example.com";
const REMEMBERED = 60_000;
const SECOND = 1_000;
/** When TCP sends a lost SYN again, milliseconds after the first. */
const SYNS = [0, 1_000, 3_000, 7_000];

/** A server behind a network that can be cut without a word, like a router that is switched off. */
class Internet {
  readonly clock = new VirtualClock();
  up = true;
  /** Whether the server says that a session cannot be resumed though it remembers it. */
  forgets = false;
  private lastSeen = 0;
  private sessions = 0;
  private current: Wire | undefined;

  open(): Socket {
    const wire = new Wire(this);
    for (const after of SYNS) {
      this.clock.setTimeout(() => {
        if (!this.up || wire.opened || wire.closed) return;
        wire.opened = true;
        this.current = wire;
        wire.onopen?.(undefined as never);
      }, after + 20);
    }
    return wire;
  }

  /** What arrives at the server. */
  async take(wire: Wire, stanza: XmlElement): Promise<void> {
    if (!this.up || wire.closed || wire !== this.current) return;
    const now = this.clock.now();
    const remembered = now - this.lastSeen < REMEMBERED && !this.forgets;
    this.lastSeen = now;
    for (const answer of this.answers(stanza, remembered)) {
      this.clock.setTimeout(() => this.up && wire === this.current && wire.receive(answer), 20);
    }
  }

  private answers(stanza: XmlElement, remembered: boolean): string[] {
    const open = `<open xmlns="${NS.framing}" version="1.0" from="meet.example.com" id="s"/>`;
    const features = (inner: string): string =>
      `<stream:features xmlns:stream="${NS.streams}" xmlns="jabber:client">${inner}</stream:features>`;
    const iq = (inner: string): string =>
      `<iq xmlns="jabber:client" type="result" id="${stanza.attrs["id"]}" from="${stanza.attrs["to"] ?? ""}">${inner}</iq>`;
    switch (stanza.name) {
      case "open":
        return this.current?.authenticated === true
          ? [open, features(`<bind xmlns="${NS.bind}"/><sm xmlns="${NS.sm}"/>`)]
          : [open, features(`<mechanisms xmlns="${NS.sasl}"><mechanism>ANONYMOUS</mechanism></mechanisms>`)];
      case "auth":
        if (this.current !== undefined) this.current.authenticated = true;
        return [`<success xmlns="${NS.sasl}"/>`];
      case "resume":
        return remembered
          ? [`<resumed xmlns="${NS.sm}" h="999" previd="r"/>`]
          : [`<failed xmlns="${NS.sm}"/>`];
      case "enable":
        return [`<enabled xmlns="${NS.sm}" resume="true" id="r"/>`];
      case "iq":
        if (stanza.attrs["id"] === "bind") {
          this.sessions += 1;
          return [iq(`<bind xmlns="${NS.bind}"><jid>${this.jid()}</jid></bind>`)];
        }
        if (child(stanza, "conference", NS.focus) !== undefined)
          return [
            iq(
              `<conference xmlns="${NS.focus}" room="${ROOM}" ready="true" focusjid="focus@auth.meet.example.com"/>`,
            ),
          ];
        return [iq("")];
      case "presence": {
        if (stanza.attrs["type"] === "unavailable") return [];
        const from = stanza.attrs["to"];
        return [
          `<presence xmlns="jabber:client" from="${from}"><x xmlns="${NS.mucUser}"><item affiliation="none" role="participant" jid="${this.jid()}"/><status code="110"/></x></presence>`,
        ];
      }
      default:
        return [];
    }
  }

  private jid(): string {
    return `${String(this.sessions).padStart(8, "0")}-77aa-4f10-9c55-0e6a2a3b9d01@meet.example.com/R`;
  }
}

class Wire implements Socket {
  onopen: ((event: never) => void) | null = null;
  onmessage: ((event: MessageEvent) => void) | null = null;
  onclose: ((event: never) => void) | null = null;
  onerror: ((event: never) => void) | null = null;
  opened = false;
  closed = false;
  authenticated = false;
  private readonly net: Internet;

  constructor(net: Internet) {
    this.net = net;
  }

  send(data: string): void {
    void this.net.take(this, parse(data));
  }

  close(): void {
    this.closed = true;
  }

  receive(data: string): void {
    if (!this.closed) this.onmessage?.({ data } as MessageEvent);
  }
}

class Visit {
  readonly net = new Internet();
  readonly conference: Conference;
  readonly states: string[] = [];

  constructor() {
    const page = {
      protocol: "https:",
      host: "meet.example.com",
      hostname: "meet.example.com",
      hash: "",
      search: "",
    };
    this.conference = new Conference({
      config: readConfig({ p2p: { enabled: false } }, page),
      roomName: "standup",
      clock: this.net.clock,
      machineUid: "uid",
      random: () => 0.99,
      openSocket: () => this.net.open(),
      newPeerConnection: () => ({ close() {}, signalingState: "stable" }) as unknown as RTCPeerConnection,
      codecs: () => ["vp8"],
    });
    this.conference.on("state", (state) => this.states.push(state));
  }

  async pass(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= 100) {
      await this.net.clock.advance(Math.min(left, 100));
      // The digest of the capabilities is computed elsewhere.
      await this.conference.capsVersion;
    }
  }

  async join(): Promise<void> {
    this.conference.join({ name: "Ann" });
    await this.pass(2 * SECOND);
    expect(this.conference.state).toBe("joined");
  }

  /** How long after now it takes to be in the room for good. */
  async timeToJoin(): Promise<number> {
    const start = this.net.clock.now();
    let since: number | undefined;
    for (let ms = 0; ms < 60 * SECOND; ms += 100) {
      await this.pass(100);
      if (this.conference.state !== "joined") since = undefined;
      else since ??= this.net.clock.now();
    }
    return since === undefined ? Number.POSITIVE_INFINITY : since - start;
  }
}

describe("a cut of the network", () => {
  const lengths = [5, 12, 30, 58, 60, 62, 90, 300];

  it.each(lengths)("of %i s: back in the room within ten seconds, wherever it falls", async (seconds) => {
    for (const phase of [0, 2_500, 5_000, 7_500]) {
      const visit = new Visit();
      await visit.join();
      await visit.pass(phase);
      visit.net.up = false;
      // Media is the first to notice.
      visit.net.clock.setTimeout(() => visit.conference.checkNetwork(), 5 * SECOND);
      await visit.pass(seconds * SECOND);
      if (seconds > 12) expect(visit.conference.state).toBe("reconnecting");
      visit.net.up = true;
      expect(await visit.timeToJoin(), `phase ${phase}`).toBeLessThanOrEqual(9 * SECOND);
    }
  });

  it("is noticed within half a minute by somebody alone, and healed the same way", async () => {
    const visit = new Visit();
    await visit.join();
    visit.net.up = false;
    await visit.pass(30 * SECOND);
    expect(visit.conference.state).toBe("reconnecting");
    visit.net.up = true;
    expect(await visit.timeToJoin()).toBeLessThanOrEqual(9 * SECOND);
  });

  it("that falls into another return is healed too", async () => {
    for (let again = 0; again < 6 * SECOND; again += 300) {
      const visit = new Visit();
      await visit.join();
      visit.net.up = false;
      visit.conference.checkNetwork();
      await visit.pass(90 * SECOND);
      visit.net.up = true;
      await visit.pass(again);
      visit.net.up = false;
      await visit.pass(70 * SECOND);
      visit.net.up = true;
      expect(await visit.timeToJoin(), `again after ${again}`).toBeLessThanOrEqual(12 * SECOND);
    }
  });

  it("during which the server forgets us ends in a new stay", async () => {
    const visit = new Visit();
    await visit.join();
    const before = visit.conference.endpointId;
    visit.net.up = false;
    visit.net.forgets = true;
    visit.conference.checkNetwork();
    await visit.pass(10 * SECOND);
    visit.net.up = true;
    expect(await visit.timeToJoin()).toBeLessThanOrEqual(9 * SECOND);
    expect(visit.conference.endpointId).not.toBe(before);
    expect(visit.states.slice(-2)).toEqual(["reconnecting", "joined"]);
  });

  it("and a departure: whoever leaves meanwhile stays away", async () => {
    const visit = new Visit();
    await visit.join();
    visit.net.up = false;
    await visit.pass(30 * SECOND);
    void visit.conference.leave();
    visit.net.up = true;
    await visit.pass(60 * SECOND);
    expect(visit.conference.state).toBe("ended");
  });
});
