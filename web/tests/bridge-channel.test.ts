// The channel to the bridge over two ports: one that is there early, and the one that stays.
import { describe, expect, it } from "vitest";
import { BridgeChannel } from "../src/protocol/bridge-channel";
import { VirtualClock } from "../src/protocol/clock";
import { FakeChannel } from "./fake-media";

const WANTED = {
  lastN: -1,
  onStageSources: [],
  selectedSources: [],
  defaultConstraints: { maxHeight: 180 },
  constraints: {},
};

function begin(): {
  clock: VirtualClock;
  data: FakeChannel;
  early: FakeChannel;
  channel: BridgeChannel;
  heard: string[];
} {
  const [clock, data, early] = [new VirtualClock(), new FakeChannel(), new FakeChannel()];
  const channel = new BridgeChannel(
    () => data,
    false,
    clock,
    () => early,
  );
  const heard: string[] = [];
  channel.on("open", () => heard.push("open"));
  channel.on("closed", () => heard.push("closed"));
  channel.on("bandwidth", (rate) => heard.push(String(rate)));
  channel.setReceiverConstraints(WANTED);
  return { clock, data, early, channel, heard };
}

const bandwidth = (rate: number): unknown => ({
  colibriClass: "ConnectionStats",
  estimatedDownlinkBandwidth: rate,
});
const said = (port: FakeChannel): unknown[] => port.sent.map((message) => message["colibriClass"]);

describe("a bridge channel with an early port", () => {
  it("speaks on the early one until the other is open, and then says all again there", () => {
    const { data, early, channel, heard } = begin();
    early.open();
    expect(said(early)).toEqual(["ReceiverVideoConstraints"]);
    channel.setVideoType("me-v0", "camera");
    expect(said(early)).toEqual(["ReceiverVideoConstraints", "SourceVideoTypeMessage"]);
    data.open();
    expect(said(data)).toEqual(["SourceVideoTypeMessage", "ReceiverVideoConstraints"]);
    channel.sendStats({});
    expect(said(early)).toHaveLength(2);
    expect(said(data)).toHaveLength(3);
    expect(heard).toEqual(["open"]);
  });

  it("hears on the early one for a moment after that", async () => {
    const { clock, data, early, heard } = begin();
    early.open();
    data.open();
    early.receive(bandwidth(1));
    data.receive(bandwidth(2));
    expect(heard).toEqual(["open", "1", "2"]);
    await clock.advance(6_000);
    expect(early.onmessage).toBeNull();
    expect(heard).toEqual(["open", "1", "2"]);
  });

  it("does without the early one", () => {
    const { data, early, channel, heard } = begin();
    early.onclose?.();
    data.open();
    expect(channel.isOpen).toBe(true);
    expect(said(data)).toEqual(["ReceiverVideoConstraints"]);
    expect(heard).toEqual(["open"]);
  });

  it("is closed between the end of the early one and the beginning of the other", () => {
    const { data, early, channel, heard } = begin();
    early.open();
    early.onclose?.();
    expect(channel.isOpen).toBe(false);
    data.open();
    // Only the other one is there: what was early does not come back.
    early.open();
    expect(said(early)).toEqual(["ReceiverVideoConstraints"]);
    expect(heard).toEqual(["open", "closed", "open"]);
  });

  it("ends with both", () => {
    const { early, channel, heard } = begin();
    early.open();
    channel.close();
    expect(early.onopen).toBeNull();
    expect(heard).toEqual(["open", "closed"]);
  });
});
