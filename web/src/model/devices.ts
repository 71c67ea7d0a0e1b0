// Microphones, cameras and speakers as the browser lists them, and what changed from one list to the next.

export type InputKind = "microphone" | "camera";
export type DeviceKind = InputKind | "speaker";

export const DEVICE_KINDS: readonly DeviceKind[] = ["microphone", "camera", "speaker"];
export const INPUT_KINDS: readonly InputKind[] = ["microphone", "camera"];

export interface DeviceInfo {
  readonly id: string;
  readonly label: string;
}

export type DeviceLists = Readonly<Record<DeviceKind, readonly DeviceInfo[]>>;

export const NO_DEVICES: DeviceLists = { microphone: [], camera: [], speaker: [] };

const KIND_OF: Readonly<Record<string, DeviceKind>> = {
  audioinput: "microphone",
  videoinput: "camera",
  audiooutput: "speaker",
};

/** Entries that stand for whatever the system uses, not for a device of their own. */
const ROLES: ReadonlySet<string> = new Set(["default", "communications"]);

/**
 * Sorts the browser's list. Before the user has allowed anything it holds no ids, and then nothing is listed.
 *
 * @param nameless what a device without a label is called
 */
export function listDevices(
  all: readonly MediaDeviceInfo[],
  nameless: (kind: DeviceKind, number: number) => string,
): DeviceLists {
  const lists: Record<DeviceKind, DeviceInfo[]> = { microphone: [], camera: [], speaker: [] };
  for (const { kind, deviceId, label } of all) {
    const own = KIND_OF[kind];
    if (own === undefined || deviceId === "") continue;
    lists[own].push({ id: deviceId, label: label || nameless(own, lists[own].length + 1) });
  }
  return lists;
}

export interface Change extends DeviceInfo {
  readonly kind: DeviceKind;
}

/** The devices in `now` that `before` did not have; roles are left out. */
export function added(before: DeviceLists, now: DeviceLists): Change[] {
  return DEVICE_KINDS.flatMap((kind) =>
    now[kind]
      .filter((d) => !ROLES.has(d.id) && !before[kind].some((old) => old.id === d.id))
      .map((d) => ({ ...d, kind })),
  );
}

export function isEmpty(lists: DeviceLists): boolean {
  return DEVICE_KINDS.every((kind) => lists[kind].length === 0);
}

/** Names for a sentence, each once. A headset is a microphone and a speaker under one name. */
export function namesOf(devices: readonly DeviceInfo[]): string[] {
  return [...new Set(devices.map((d) => d.label))];
}
