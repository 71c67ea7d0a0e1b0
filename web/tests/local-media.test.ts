// Devices: choosing, losing and finding them, and switching on and off while they are slow.
import { describe, expect, it } from "vitest";
import { type Capture, type DeviceNews, LocalMedia } from "../src/model/local-media";
import { SettingsStore } from "../src/model/settings";

type Kind = "audioinput" | "videoinput" | "audiooutput";

class FakeTrack {
  readyState = "live";
  contentHint = "";
  onended: (() => void) | null = null;
  readonly label: string;
  private readonly id: string;

  constructor(device: MediaDeviceInfo) {
    this.label = device.label;
    this.id = device.deviceId;
  }
  getSettings() {
    return { deviceId: this.id };
  }
  stop(): void {
    this.readyState = "ended";
  }
}

class Error2 extends Error {
  constructor(name: string) {
    super(name);
    this.name = name;
  }
}

/** A machine with devices that can be plugged in and pulled out. */
class FakeMachine implements Capture {
  devices: MediaDeviceInfo[] = [];
  readonly tracks: FakeTrack[] = [];
  readonly asked: string[] = [];
  /** Devices that another program holds. */
  readonly busy = new Set<string>();
  /** Only one camera can be open at a time, as on phones. */
  oneCamera = false;
  allowed = true;
  gate: Promise<void> | undefined;
  private listener: () => void = () => undefined;

  plug(kind: Kind, id: string): void {
    const device = { kind, deviceId: id, label: `The ${id}`, groupId: "" } as MediaDeviceInfo;
    this.devices = [...this.devices, device];
    this.listener();
  }

  pull(id: string): void {
    this.devices = this.devices.filter((d) => d.deviceId !== id);
    for (const track of this.tracks) {
      if (track.getSettings().deviceId !== id || track.readyState !== "live") continue;
      track.readyState = "ended";
      track.onended?.();
    }
    this.listener();
  }

  async getUserMedia(constraints: MediaStreamConstraints): Promise<MediaStream> {
    await this.gate;
    const audio = this.open("audioinput", constraints.audio);
    const video = this.open("videoinput", constraints.video);
    return {
      getAudioTracks: () => audio,
      getVideoTracks: () => video,
    } as unknown as MediaStream;
  }

  private open(kind: Kind, wanted: boolean | MediaTrackConstraints | undefined): FakeTrack[] {
    if (typeof wanted !== "object") return [];
    if (!this.allowed) throw new Error2("NotAllowedError");
    const { exact } = (wanted.deviceId ?? {}) as { exact?: string };
    this.asked.push(`${kind} ${exact ?? "any"}`);
    const all = this.devices.filter((d) => d.kind === kind);
    const device = exact === undefined ? all[0] : all.find((d) => d.deviceId === exact);
    if (device === undefined)
      throw new Error2(exact === undefined ? "NotFoundError" : "OverconstrainedError");
    const open = this.tracks.filter((t) => t.readyState === "live" && t.label.includes("cam"));
    if (this.busy.has(device.deviceId) || (this.oneCamera && kind === "videoinput" && open.length > 0))
      throw new Error2("NotReadableError");
    const track = new FakeTrack(device);
    this.tracks.push(track);
    return [track];
  }

  async getDisplayMedia(): Promise<MediaStream> {
    throw new Error2("NotAllowedError");
  }
  async enumerateDevices(): Promise<MediaDeviceInfo[]> {
    return this.devices;
  }
  addEventListener(_type: "devicechange", listener: () => void): void {
    this.listener = listener;
  }
  live(): string[] {
    return this.tracks.filter((t) => t.readyState === "live").map((t) => t.getSettings().deviceId);
  }
}

/** Lets everything that is under way come to rest. */
async function settle(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve));
}

async function world(stored: Record<string, string> = {}) {
  const machine = new FakeMachine();
  machine.plug("audioinput", "mic1");
  machine.plug("audioinput", "mic2");
  machine.plug("videoinput", "cam1");
  machine.plug("videoinput", "cam2");
  machine.plug("audiooutput", "out1");
  machine.plug("audiooutput", "out2");
  const settings = new SettingsStore(undefined, () => "uid");
  settings.change(stored);
  const media = new LocalMedia(machine, settings, 720);
  const news: DeviceNews[] = [];
  media.news.subscribe(() => {
    const latest = media.news.get();
    if (latest !== undefined && latest.text !== "") news.push(latest);
  });
  await media.start(true, true);
  const sent = () => {
    const { audio, video } = media.tracks.get();
    return [audio?.getSettings().deviceId, video?.getSettings().deviceId];
  };
  return { machine, settings, media, news, sent };
}

describe("choosing a device", () => {
  it("sends that device's track at once, and lets go of the old one", async () => {
    const { machine, media, sent } = await world();
    expect(sent()).toEqual(["mic1", "cam1"]);
    await media.select("camera", "cam2");
    await media.select("microphone", "mic2");
    expect(sent()).toEqual(["mic2", "cam2"]);
    expect(media.selected("camera")).toBe("cam2");
    expect(machine.live()).toEqual(["cam2", "mic2"]);
  });

  it("holds from the start of the next visit", async () => {
    const { sent, machine } = await world({ camera: "cam2", microphone: "mic2" });
    expect(sent()).toEqual(["mic2", "cam2"]);
    expect(machine.asked).toEqual(["audioinput mic2", "videoinput cam2"]);
  });

  it("keeps a muted microphone muted, and waits for the camera to be switched on", async () => {
    const { media, sent, machine } = await world();
    await media.setAudio(false);
    await media.setVideo(false);
    await media.select("microphone", "mic2");
    await media.select("camera", "cam2");
    expect(sent()).toEqual([undefined, undefined]);
    expect(machine.live()).toEqual(["mic2"]);
    await media.setAudio(true);
    await media.setVideo(true);
    expect(sent()).toEqual(["mic2", "cam2"]);
  });

  it("twice in a hurry ends with the second", async () => {
    const { media, machine, sent } = await world();
    void media.select("camera", "cam2");
    void media.select("camera", "cam1");
    await settle();
    expect(sent()).toEqual(["mic1", "cam1"]);
    expect(machine.live()).toEqual(["mic1", "cam1"]);
  });

  it("that cannot be opened leaves the old one in use and says so", async () => {
    const { machine, media, settings, news, sent } = await world();
    machine.busy.add("cam2");
    machine.devices = machine.devices.filter((d) => d.deviceId !== "mic2");
    await media.select("camera", "cam2");
    expect(sent()).toEqual(["mic1", "cam1"]);
    expect(settings.get().camera).toBe("");
    expect(news.at(-1)?.text).toContain("“The cam2” cannot be used");
    await media.select("microphone", "mic2");
    expect(sent()).toEqual(["mic1", "cam1"]);
  });

  it("works where only one camera can be open", async () => {
    const { machine, media, sent } = await world();
    machine.oneCamera = true;
    await media.select("camera", "cam2");
    expect(sent()).toEqual(["mic1", "cam2"]);
  });

  it("chooses the speaker, and goes back to the system's when the browser refuses it", async () => {
    const { media, news } = await world();
    await media.select("speaker", "out2");
    expect(media.state.get().speaker).toBe("out2");
    media.speakerFailed("out2");
    expect(media.state.get().speaker).toBe("");
    expect(news.at(-1)?.text).toContain("“The out2”");
  });
});

describe("losing a device", () => {
  it("goes on with the system's, says so, and offers the old one when it is back", async () => {
    const { machine, media, news, sent } = await world({ microphone: "mic2" });
    expect(sent()).toEqual(["mic2", "cam1"]);
    machine.pull("mic2");
    await settle();
    expect(sent()).toEqual(["mic1", "cam1"]);
    expect(news.map((n) => n.text)).toEqual(["“The mic2” was disconnected. “The mic1” is used now."]);
    machine.plug("audioinput", "mic2");
    await settle();
    expect(sent()).toEqual(["mic1", "cam1"]);
    expect(news.at(-1)).toMatchObject({ text: "“The mic2” is back.", offer: { label: "Use it" } });
    news.at(-1)?.offer?.run();
    await settle();
    expect(sent()).toEqual(["mic2", "cam1"]);
    expect(media.selected("microphone")).toBe("mic2");
  });

  it("also where the browser does not end the track", async () => {
    const { machine, sent } = await world({ camera: "cam2" });
    machine.devices = machine.devices.filter((d) => d.deviceId !== "cam2");
    machine.plug("videoinput", "cam3");
    await settle();
    expect(sent()).toEqual(["mic1", "cam1"]);
  });

  it("says that nobody hears the user when there is no other, and takes the next that comes", async () => {
    const { machine, news, sent } = await world();
    machine.devices = machine.devices.filter((d) => d.deviceId !== "mic2");
    machine.pull("mic1");
    await settle();
    expect(sent()).toEqual([undefined, "cam1"]);
    expect(news.at(-1)?.text).toMatch(/disconnected.*No microphone was found.*do not hear you/);
    machine.plug("audioinput", "mic3");
    await settle();
    expect(sent()).toEqual(["mic3", "cam1"]);
    expect(news.at(-1)?.text).toBe("“The mic3” was plugged in and is used now.");
  });

  it("while it is off only says so", async () => {
    const { machine, media, news, sent } = await world();
    await media.setAudio(false);
    machine.pull("mic1");
    await settle();
    expect(news.at(-1)?.text).toBe("“The mic1” was disconnected.");
    expect(machine.live()).toEqual(["cam1"]);
    await media.setAudio(true);
    expect(sent()).toEqual(["mic2", "cam1"]);
  });

  it("sends the sound to the system's speaker", async () => {
    const { machine, media, news } = await world({ speaker: "out2" });
    machine.pull("out2");
    await settle();
    expect(media.state.get().speaker).toBe("");
    expect(news.at(-1)?.text).toContain("The sound goes where the system sends it");
  });
});

describe("plugging in", () => {
  it("offers what came, all of it under one name, and withdraws the offer when it goes", async () => {
    const { machine, media, news } = await world();
    machine.devices = [
      ...machine.devices,
      { kind: "audioinput", deviceId: "h", label: "Headset", groupId: "" } as MediaDeviceInfo,
      { kind: "audiooutput", deviceId: "ho", label: "Headset", groupId: "" } as MediaDeviceInfo,
    ];
    machine.plug("audiooutput", "default");
    await settle();
    expect(news.map((n) => n.text)).toEqual(["“Headset” was plugged in."]);
    news[0]?.offer?.run();
    await settle();
    expect([media.selected("microphone"), media.selected("speaker")]).toEqual(["h", "ho"]);
    machine.plug("videoinput", "cam3");
    await settle();
    machine.pull("cam3");
    await settle();
    expect(media.news.get()).toMatchObject({ key: "device-plugged", text: "" });
  });
});

describe("slow devices", () => {
  it("that come after everything was stopped, or switched off, are let go", async () => {
    const { machine, media } = await world();
    await media.setVideo(false);
    let open = (): void => undefined;
    machine.gate = new Promise((resolve) => {
      open = resolve;
    });
    void media.setVideo(true);
    void media.setVideo(false);
    open();
    await settle();
    expect(machine.live()).toEqual(["mic1"]);
    media.stopAll();
    void media.start(true, true);
    media.stopAll();
    await settle();
    expect(machine.live()).toEqual([]);
    expect(media.tracks.get()).toEqual({ audio: null, video: null, desktop: null });
  });

  it("are not asked for again while the user does not allow them", async () => {
    const { machine, media, news } = await world();
    media.stopAll();
    machine.allowed = false;
    await media.start(true, false);
    expect(media.state.get().audioError).toContain("may not be used");
    expect(news.at(-1)).toMatchObject({ isError: true });
    media.stopAll();
    await media.start(true, true);
    expect(media.problem).toMatch(/^Your microphone and camera may not be used\./);
    machine.allowed = true;
    machine.busy.add("cam1");
    await media.setAudio(true);
    await media.setVideo(true);
    expect(media.problem).toBe("Another program uses this: your camera.");
  });
});
