// Layout, shortcuts, settings, chat and configuration: rules without a browser.
import { describe, expect, it } from "vitest";
import { linkify } from "../src/model/chat";
import { Forwarding } from "../src/model/forwarding";
import { chooseVisible, fitGrid, type Ranked, receiverConstraints, requestHeight } from "../src/model/layout";
import { initials } from "../src/model/people";
import { SettingsStore } from "../src/model/settings";
import { commandFor, type KeyPress } from "../src/model/shortcuts";
import { readConfig } from "../src/protocol/config";
import { cameraEncodings, scalableEncodings, simulcastMode } from "../src/protocol/encodings";
import { endpointIdFor } from "../src/protocol/ids";

describe("fitGrid", () => {
  const wide = { width: 1280, height: 640 };
  const tall = { width: 390, height: 720 };
  it.each([
    [1, wide, 1, 1],
    [2, wide, 2, 1],
    [4, wide, 2, 2],
    [9, wide, 3, 3],
    [2, tall, 1, 2],
    [4, tall, 1, 4],
    [6, tall, 2, 3],
  ])("puts %i tiles into %o as %i × %i", (count, space, columns, rows) => {
    expect(fitGrid(count, space, 8)).toMatchObject({ columns, rows });
  });

  it("never exceeds the space", () => {
    for (let count = 1; count <= 40; count++) {
      const { columns, rows, tile } = fitGrid(count, wide, 8);
      expect(columns * tile.width + 8 * (columns - 1)).toBeLessThanOrEqual(wide.width);
      expect(rows * tile.height + 8 * (rows - 1)).toBeLessThanOrEqual(wide.height);
      expect(columns * rows).toBeGreaterThanOrEqual(count);
    }
  });
});

describe("what to receive", () => {
  it.each([
    [100, 180],
    [225, 180],
    [300, 360],
    [700, 720],
    [1400, 720],
  ])("%i pixels ask for %i lines", (pixels, height) => {
    expect(requestHeight(pixels, 720)).toBe(height);
  });

  it("asks for what is shown, and for nothing else when people are hidden", () => {
    const visible = [
      { name: "a-v1", pixels: 900, onStage: true, screen: true },
      { name: "b-v0", pixels: 99, onStage: false, screen: false },
    ];
    expect(receiverConstraints(visible, false, -1, 720)).toEqual({
      lastN: -1,
      onStageSources: ["a-v1"],
      selectedSources: [],
      defaultConstraints: { maxHeight: 0 },
      constraints: { "a-v1": { maxHeight: 2160 }, "b-v0": { maxHeight: 180 } },
    });
    expect(receiverConstraints([], true, 5, 720).defaultConstraints).toEqual({ maxHeight: 180 });
  });

  const tile = (key: string, more: Partial<Ranked> = {}): Ranked => ({
    key,
    local: false,
    screen: false,
    spoke: undefined,
    handRaised: false,
    ...more,
  });
  it("shows screens, the user and recent speakers first, without moving anybody", () => {
    const tiles = [
      tile("me", { local: true }),
      tile("a"),
      tile("b", { spoke: 0 }),
      tile("c"),
      tile("s", { screen: true }),
    ];
    expect(chooseVisible(tiles, 3)).toEqual(["me", "b", "s"]);
    expect(chooseVisible(tiles, 4)).toEqual(["me", "a", "b", "s"]);
    expect(chooseVisible(tiles, 9)).toEqual(["me", "a", "b", "c", "s"]);
  });
});

describe("forwarding", () => {
  it("calls a picture paused only after it was sent and then missing for a while", () => {
    const forwarding = new Forwarding();
    expect(forwarding.isPaused("a-v0", 0)).toBe(false);
    forwarding.update(["a-v0"], 0);
    forwarding.update([], 1_000);
    expect(forwarding.isPaused("a-v0", 2_000)).toBe(false);
    expect(forwarding.isPaused("a-v0", 3_000)).toBe(true);
    forwarding.update(["a-v0"], 4_000);
    expect(forwarding.isPaused("a-v0", 9_000)).toBe(false);
  });
});

describe("simulcast", () => {
  it("has temporal layers in simulcast of VP8 alone", () => {
    const modes = (codec: string): unknown[] =>
      cameraEncodings(3, 720, 720, simulcastMode(codec)).map((e) => e.scalabilityMode);
    expect(modes("vp8")).toEqual(["L1T3", "L1T3", "L1T3"]);
    expect(modes("h264")).toEqual([undefined, undefined, undefined]);
  });

  const shape = (height: number, max: number): [boolean, number][] =>
    cameraEncodings(3, height, max).map((e) => [e.active, e.scaleResolutionDownBy]);
  it("sends three, two or one layer depending on the picture", () => {
    expect(shape(720, 2160)).toEqual([
      [true, 4],
      [true, 2],
      [true, 1],
    ]);
    expect(shape(360, 2160)).toEqual([
      [true, 2],
      [true, 1],
      [false, 1],
    ]);
    expect(shape(180, 2160)).toEqual([
      [true, 1],
      [false, 1],
      [false, 1],
    ]);
  });
  it("stops what nobody wants, and everything at zero", () => {
    expect(shape(720, 360).map(([active]) => active)).toEqual([true, true, false]);
    expect(shape(720, 90).map(([active]) => active)).toEqual([true, false, false]);
    expect(shape(720, 0).map(([active]) => active)).toEqual([false, false, false]);
  });
});

describe("scalable streams", () => {
  const shape = (height: number, max: number): [boolean[], number | undefined, string | undefined] => {
    const encodings = scalableEncodings(3, height, max, "vp9");
    const [first] = encodings;
    return [encodings.map((e) => e.active), first?.scaleResolutionDownBy, first?.scalabilityMode];
  };
  it("are one encoding with as many layers as the picture is worth", () => {
    expect(shape(720, 2160)).toEqual([[true, false, false], 1, "L3T3_KEY"]);
    expect(shape(360, 2160)).toEqual([[true, false, false], 1, "L2T3_KEY"]);
    expect(shape(180, 2160)).toEqual([[true, false, false], 1, "L1T3"]);
  });

  it("leaves the layers of a scalable stream to browsers that take no modes", () => {
    const [first, second] = scalableEncodings(3, 360, 360, "vp9", false);
    expect(first).toMatchObject({ active: true, scaleResolutionDownBy: 1, scalabilityMode: undefined });
    expect(second?.active).toBe(false);
  });
  it("have no layers that nobody wants", () => {
    expect(shape(720, 360)).toEqual([[true, false, false], 2, "L2T3_KEY"]);
    expect(shape(720, 180)).toEqual([[true, false, false], 4, "L1T3"]);
    expect(shape(720, 90)).toEqual([[true, false, false], 4, "L1T3"]);
    expect(shape(720, 0)[0]).toEqual([false, false, false]);
  });
});

describe("shortcuts", () => {
  const press = (key: string, more: Partial<KeyPress> = {}): KeyPress => ({
    key,
    ctrlKey: false,
    metaKey: false,
    altKey: false,
    repeat: false,
    typing: false,
    ...more,
  });
  it.each([
    ["m", { action: "toggle-audio" }],
    ["V", { action: "toggle-video" }],
    ["?", { action: "help" }],
    [" ", { talk: true }],
    ["0", { person: 0 }],
    ["x", undefined],
    ["Shift", undefined],
  ])("%j", (key, command) => {
    expect(commandFor(press(key))).toEqual(command);
  });
  it("leaves typing and browser shortcuts alone, but closes on Escape", () => {
    expect(commandFor(press("m", { typing: true }))).toBeUndefined();
    expect(commandFor(press("d", { ctrlKey: true }))).toBeUndefined();
    expect(commandFor(press("m", { repeat: true }))).toBeUndefined();
    expect(commandFor(press("Escape", { typing: true }))).toEqual({ action: "close" });
  });
});

describe("links", () => {
  it("finds links and nothing that runs", () => {
    expect(linkify("see https://a.example/x?y=1, ok")).toEqual([
      { text: "see " },
      { link: "https://a.example/x?y=1" },
      { text: ", ok" },
    ]);
    expect(linkify("javascript:alert(1)")).toEqual([{ text: "javascript:alert(1)" }]);
  });
});

describe("settings", () => {
  it("survive storage that is broken, full or of an older shape", () => {
    const stored = { value: '{"name":7,"audioOn":false,"recentRooms":["Café"]}' };
    const storage = {
      getItem: () => stored.value,
      setItem: () => {
        throw new Error("full");
      },
    };
    const settings = new SettingsStore(storage, () => "uid");
    expect(settings.get()).toMatchObject({
      name: "",
      audioOn: false,
      recent: ["Caf%C3%A9"],
      machineUid: "uid",
    });
    settings.rememberRoom("acme/b");
    expect(settings.get().recent).toEqual(["acme/b", "Caf%C3%A9"]);
    stored.value = "{";
    expect(new SettingsStore(storage, () => "u").get().videoOn).toBe(true);
  });
});

describe("what holds for a visit", () => {
  function stored() {
    const kept = { value: "{}" };
    const storage = {
      getItem: () => kept.value,
      setItem: (_key: string, value: string) => {
        kept.value = value;
      },
    };
    return {
      settings: new SettingsStore(storage, () => "uid"),
      again: () => new SettingsStore(storage, () => ""),
    };
  }
  it("is not remembered, also when it is used unchanged", () => {
    const { settings, again } = stored();
    settings.change({ name: "Bob" });
    settings.forVisit({ name: "Mallory" });
    expect(settings.get().name).toBe("Mallory");
    settings.change({ name: "Mallory", audioOn: false });
    expect(settings.get().name).toBe("Mallory");
    expect(again().get()).toMatchObject({ name: "Bob", audioOn: false });
  });
  it("gives way to what the user types", () => {
    const { settings, again } = stored();
    settings.forVisit({ name: "Mallory" });
    settings.change({ name: "Ann" });
    expect(settings.get().name).toBe("Ann");
    expect(again().get().name).toBe("Ann");
  });
});

describe("configuration", () => {
  const page = { protocol: "https:", host: "m.example:8443", hostname: "m.example", hash: "", search: "" };
  it("works without any", () => {
    expect(readConfig(undefined, page)).toMatchObject({
      domain: "m.example",
      muc: "conference.m.example",
      webSocketUrl: "wss://m.example:8443/xmpp-websocket",
      p2pEnabled: true,
      prejoin: true,
    });
  });
});

describe("names", () => {
  it("takes the endpoint id from the account, or makes one", () => {
    expect(endpointIdFor("A1B2C3D4-77aa@x/y")).toBe("a1b2c3d4");
    expect(endpointIdFor("short@x/y")).toMatch(/^[0-9a-f]{8}$/);
  });
  it.each([
    ["Ann Maria Miller", "AM"],
    ["bob", "B"],
    ["", "G"],
    ["🎉 party", "🎉P"],
  ])("%s is shortened to %s", (name, short) => {
    expect(initials(name)).toBe(short);
  });
});
