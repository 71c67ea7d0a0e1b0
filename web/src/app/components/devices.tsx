// Choosing microphone, camera and speaker.

import type { JSX } from "preact";
import type { DeviceKind, LocalMedia, LocalMediaState } from "../../model/local-media";

const KINDS: readonly { readonly kind: DeviceKind; readonly label: string }[] = [
  { kind: "microphone", label: "Microphone" },
  { kind: "camera", label: "Camera" },
  { kind: "speaker", label: "Speaker" },
];

export function DevicePickers({ media, state }: { media: LocalMedia; state: LocalMediaState }): JSX.Element {
  return (
    <>
      {KINDS.map(({ kind, label }) => {
        const devices = state.devices[kind];
        // Some browsers do not let a page choose where the sound goes.
        if (kind === "speaker" && devices.length === 0) return null;
        return (
          <label class="field" key={kind}>
            <span>{label}</span>
            <select
              data-testid={`select-${kind}`}
              value={media.selected(kind)}
              disabled={devices.length === 0}
              onChange={(event) => void media.select(kind, event.currentTarget.value)}
            >
              {devices.length === 0 && <option value="">None found</option>}
              {devices.length > 0 && !devices.some((d) => d.id === media.selected(kind)) && (
                <option value={media.selected(kind)}>As the system chooses</option>
              )}
              {devices.map((d) => (
                <option key={d.id} value={d.id}>
                  {d.label}
                </option>
              ))}
            </select>
          </label>
        );
      })}
    </>
  );
}
