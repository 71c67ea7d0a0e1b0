// The dialogs of the room.

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import type { LocalMediaState } from "../../model/local-media";
import type { Meeting, MeetingState } from "../../model/meeting";
import { SHORTCUTS } from "../../model/shortcuts";
import { texts } from "../../model/texts";
import { DevicePickers } from "./devices";
import { Dialog } from "./dialog";

export interface DialogsProps {
  readonly meeting: Meeting;
  readonly state: MeetingState;
  readonly media: LocalMediaState;
}

export function Dialogs({ meeting, state, media }: DialogsProps): JSX.Element | null {
  const close = (): void => meeting.view.openDialog("none");
  switch (state.dialog) {
    case "help":
      return <HelpDialog onClose={close} />;
    case "settings":
      return <SettingsDialog meeting={meeting} media={media} onClose={close} />;
    case "quality":
      return <QualityDialog meeting={meeting} state={state} onClose={close} />;
    case "lock":
      return <LockDialog meeting={meeting} state={state} onClose={close} />;
    case "password":
      return <PasswordDialog meeting={meeting} wrong={state.passwordWrong} />;
    case "knock":
      return <KnockDialog meeting={meeting} state={state} />;
    case "none":
      return null;
  }
}

function HelpDialog({ onClose }: { onClose: () => void }): JSX.Element {
  return (
    <Dialog title={texts.bar.shortcuts} testid="help-dialog" onClose={onClose}>
      <dl class="shortcuts">
        {SHORTCUTS.map((s) => (
          <div key={s.key}>
            <dt>
              <kbd>{s.key}</kbd>
            </dt>
            <dd>{s.label}</dd>
          </div>
        ))}
      </dl>
    </Dialog>
  );
}

function SettingsDialog({
  meeting,
  media,
  onClose,
}: {
  meeting: Meeting;
  media: LocalMediaState;
  onClose: () => void;
}): JSX.Element {
  const [name, setName] = useState(meeting.options.settings.get().name);
  return (
    <Dialog title={texts.bar.settings} testid="settings-dialog" onClose={onClose}>
      <form
        class="form"
        onSubmit={(event) => {
          event.preventDefault();
          meeting.own.setName(name);
          onClose();
        }}
      >
        <label class="field">
          <span>{texts.yourName}</span>
          <input
            data-autofocus
            data-testid="settings-name"
            value={name}
            maxLength={80}
            onInput={(event) => setName(event.currentTarget.value)}
          />
        </label>
        <DevicePickers media={meeting.media} state={media} />
        <button type="submit" class="button primary">
          {texts.done}
        </button>
      </form>
    </Dialog>
  );
}

const QUALITIES = [
  { height: 180, label: texts.quality.low },
  { height: 360, label: texts.quality.medium },
  { height: 720, label: texts.quality.high },
] as const;

function QualityDialog({
  meeting,
  state,
  onClose,
}: {
  meeting: Meeting;
  state: MeetingState;
  onClose: () => void;
}): JSX.Element {
  const chosen = QUALITIES.findLast((q) => q.height <= state.maxHeight)?.height ?? 180;
  return (
    <Dialog title={texts.bar.quality} testid="quality-dialog" onClose={onClose}>
      <fieldset class="form radios">
        <legend>{texts.quality.legend}</legend>
        {QUALITIES.map((q) => (
          <label key={q.height}>
            <input
              type="radio"
              name="quality"
              checked={q.height === chosen}
              onChange={() => meeting.reception.setMaxHeight(q.height)}
            />
            {q.label} ({q.height}p)
          </label>
        ))}
      </fieldset>
    </Dialog>
  );
}

function LockDialog({
  meeting,
  state,
  onClose,
}: {
  meeting: Meeting;
  state: MeetingState;
  onClose: () => void;
}): JSX.Element {
  const [password, setPassword] = useState("");
  return (
    <Dialog title={texts.lock.title} testid="lock-dialog" onClose={onClose}>
      <form
        class="form"
        onSubmit={(event) => {
          event.preventDefault();
          if (password !== "") meeting.moderation.lock(password);
        }}
      >
        <p>{state.locked ? texts.lock.locked : texts.lock.open}</p>
        <label class="field">
          <span>{state.locked ? texts.lock.newPassword : texts.password}</span>
          <input
            data-autofocus
            data-testid="lock-password"
            value={password}
            autocomplete="off"
            maxLength={100}
            onInput={(event) => setPassword(event.currentTarget.value)}
          />
        </label>
        <div class="row">
          {state.locked && (
            <button
              type="button"
              class="button"
              data-testid="unlock"
              onClick={() => meeting.moderation.lock("")}
            >
              {texts.lock.remove}
            </button>
          )}
          <button type="submit" class="button primary" data-testid="lock-set" disabled={password === ""}>
            {texts.lock.set}
          </button>
        </div>
      </form>
    </Dialog>
  );
}

function PasswordDialog({ meeting, wrong }: { meeting: Meeting; wrong: boolean }): JSX.Element {
  const [password, setPassword] = useState("");
  const leave = (): void => void meeting.entry.leave();
  return (
    <Dialog title={texts.hasPassword} testid="password-dialog" onClose={leave}>
      <form
        class="form"
        onSubmit={(event) => {
          event.preventDefault();
          if (password !== "") meeting.entry.join(meeting.options.settings.get().name, password);
        }}
      >
        {wrong && (
          <p class="field-error" role="alert">
            {texts.passwordWrong}
          </p>
        )}
        <label class="field">
          <span>{texts.password}</span>
          <input
            data-autofocus
            type="password"
            data-testid="room-password"
            value={password}
            onInput={(event) => setPassword(event.currentTarget.value)}
          />
        </label>
        <div class="row">
          <button type="button" class="button" onClick={leave}>
            {texts.leave}
          </button>
          <button
            type="submit"
            class="button primary"
            data-testid="room-password-join"
            disabled={password === ""}
          >
            {texts.join}
          </button>
        </div>
      </form>
    </Dialog>
  );
}

function KnockDialog({ meeting, state }: { meeting: Meeting; state: MeetingState }): JSX.Element {
  const [name, setName] = useState(meeting.options.settings.get().name);
  const leave = (): void => void meeting.entry.leave();
  const waiting = state.knocking === "waiting";
  return (
    <Dialog title={texts.knock.title} testid="knock-dialog" onClose={leave}>
      <form
        class="form"
        onSubmit={(event) => {
          event.preventDefault();
          meeting.entry.knock(name);
        }}
      >
        <p role="status">
          {waiting && texts.knock.waiting}
          {state.knocking === "denied" && texts.knock.denied}
          {state.knocking === "no" && texts.knock.ask}
        </p>
        <label class="field">
          <span>{texts.yourName}</span>
          <input
            data-autofocus
            data-testid="knock-name"
            value={name}
            maxLength={80}
            disabled={waiting}
            onInput={(event) => setName(event.currentTarget.value)}
          />
        </label>
        <div class="row">
          <button type="button" class="button" onClick={leave}>
            {texts.leave}
          </button>
          <button
            type="submit"
            class="button primary"
            data-testid="knock"
            disabled={waiting || name.trim() === ""}
          >
            {state.knocking === "denied" ? texts.knock.again : texts.knock.button}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
