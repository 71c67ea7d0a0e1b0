// Choosing microphone, camera and speaker.

import type { JSX } from "preact";
import { DEVICE_KINDS, type DeviceKind } from "../../model/devices";
import type { LocalMedia, LocalMediaState } from "../../model/local-media";
import { texts } from "../../model/texts";

interface PickersProps {
  readonly media: LocalMedia;
  readonly state: LocalMediaState;
}

export function DevicePickers({ media, state }: PickersProps): JSX.Element {
  return (
    <>
      {DEVICE_KINDS.map((kind) => (
        <Picker key={kind} kind={kind} media={media} state={state} />
      ))}
    </>
  );
}

function Picker({ kind, media, state }: PickersProps & { kind: DeviceKind }): JSX.Element | null {
  const devices = state.devices[kind];
  // Some browsers do not let a page choose where the sound goes.
  if (kind === "speaker" && devices.length === 0) return null;
  const selected = media.selected(kind);
  const has = (id: string): boolean => devices.some((d) => d.id === id);
  // What the system chooses has an entry of its own in some browsers.
  const system = has("default") ? "default" : "";
  return (
    <label class="field">
      <span>{texts.devices.titles[kind]}</span>
      <select
        data-testid={`select-${kind}`}
        value={has(selected) ? selected : system}
        disabled={devices.length === 0}
        onChange={(event) => void media.select(kind, event.currentTarget.value)}
      >
        {devices.length === 0 && <option value="">{texts.devices.none}</option>}
        {devices.length > 0 && system === "" && <option value="">{texts.devices.system}</option>}
        {devices.map((d) => (
          <option key={d.id} value={d.id}>
            {d.label}
          </option>
        ))}
      </select>
    </label>
  );
}
