// What is remembered between visits on this device.

export interface Settings {
  readonly name: string;
  readonly audioOn: boolean;
  readonly videoOn: boolean;
  readonly microphone: string;
  readonly camera: string;
  readonly speaker: string;
  readonly machineUid: string;
  /** Paths of the pages of rooms, percent-encoded, with their tenants, the latest first. */
  readonly recent: readonly string[];
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
  recent: [],
};

/** The part of `localStorage` that is used. */
export interface Storage {
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
}

export class SettingsStore {
  private readonly storage: Storage | undefined;
  private stored: Settings;
  /** What holds for this visit and is not remembered. */
  private visit: Partial<Settings> = {};

  /** @param storage undefined where the browser forbids it; then nothing is remembered */
  constructor(storage: Storage | undefined, newUid: () => string) {
    this.storage = storage;
    this.stored = { ...DEFAULTS, ...this.load() };
    if (this.stored.machineUid === "") this.change({ machineUid: newUid() });
  }

  get(): Settings {
    return { ...this.stored, ...this.visit };
  }

  /** Lets something hold for this visit only, until the user says something else. */
  forVisit(change: Partial<Settings>): void {
    this.visit = { ...this.visit, ...change };
  }

  /** Remembers what the user chose. */
  change(change: Partial<Settings>): void {
    const visit: Record<string, unknown> = { ...this.visit };
    const chosen: Record<string, unknown> = {};
    for (const [key, value] of Object.entries(change)) {
      // What a link brought and the user left as it was is not the user's choice.
      if (Object.hasOwn(visit, key) && visit[key] === value) continue;
      delete visit[key];
      chosen[key] = value;
    }
    this.visit = visit;
    this.stored = { ...this.stored, ...chosen };
    try {
      this.storage?.setItem(KEY, JSON.stringify(this.stored));
    } catch {
      // Full or forbidden: the visit works without.
    }
  }

  /** @param path of the room's page, percent-encoded, with its tenant */
  rememberRoom(path: string): void {
    const others = this.stored.recent.filter((r) => r !== path);
    this.change({ recent: [path, ...others].slice(0, MAX_RECENT) });
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
      // Earlier versions kept names without their tenants.
      const { recentRooms } = stored as { recentRooms?: unknown };
      if (known["recent"] === undefined && Array.isArray(recentRooms))
        known["recent"] = recentRooms.filter((r) => typeof r === "string").map(encodeURIComponent);
      return known as Partial<Settings>;
    } catch {
      return {};
    }
  }
}
