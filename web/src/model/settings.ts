// What is remembered between visits on this device.

export interface Settings {
  readonly name: string;
  readonly audioOn: boolean;
  readonly videoOn: boolean;
  readonly microphone: string;
  readonly camera: string;
  readonly speaker: string;
  readonly machineUid: string;
  readonly recentRooms: readonly string[];
}

const KEY = "pontoon.settings";
const MAX_RECENT = 6;

const DEFAULTS: Settings = {
  name: "",
  audioOn: true,
  videoOn: true,
  microphone: "",
  camera: "",
  speaker: "",
  machineUid: "",
  recentRooms: [],
};

/** The part of `localStorage` that is used. */
export interface Storage {
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
}

export class SettingsStore {
  private readonly storage: Storage | undefined;
  private value: Settings;

  /** @param storage undefined where the browser forbids it; then nothing is remembered */
  constructor(storage: Storage | undefined, newUid: () => string) {
    this.storage = storage;
    this.value = { ...DEFAULTS, ...this.load() };
    if (this.value.machineUid === "") this.change({ machineUid: newUid() });
  }

  get(): Settings {
    return this.value;
  }

  change(change: Partial<Settings>): void {
    this.value = { ...this.value, ...change };
    try {
      this.storage?.setItem(KEY, JSON.stringify(this.value));
    } catch {
      // Full or forbidden: the visit works without.
    }
  }

  rememberRoom(room: string): void {
    const others = this.value.recentRooms.filter((r) => r !== room);
    this.change({ recentRooms: [room, ...others].slice(0, MAX_RECENT) });
  }

  private load(): Partial<Settings> {
    try {
      const stored: unknown = JSON.parse(this.storage?.getItem(KEY) ?? "{}");
      if (typeof stored !== "object" || stored === null) return {};
      const known: Record<string, unknown> = {};
      for (const [key, fallback] of Object.entries(DEFAULTS)) {
        const value = (stored as Record<string, unknown>)[key];
        if (Array.isArray(fallback) ? Array.isArray(value) : typeof value === typeof fallback)
          known[key] = value;
      }
      return known as Partial<Settings>;
    } catch {
      return {};
    }
  }
}
