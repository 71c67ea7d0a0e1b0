// The pages before and after a meeting: home, preparing to join, and having left.

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import type { Meeting, MeetingState } from "../../model/meeting";
import { suggestRoom } from "../../model/names";
import { hueOf, initials } from "../../model/people";
import type { SettingsStore } from "../../model/settings";
import { useInitialFocus, useValue } from "../hooks";
import { Icon } from "../icons";
import { DevicePickers } from "./devices";
import { Video } from "./video";

function Brand(): JSX.Element {
  return (
    <a class="brand" href="/" aria-label="Pontoon, home">
      <img src="/icon.svg" alt="" width={32} height={32} />
      <span>Pontoon</span>
    </a>
  );
}

/** Turns what was typed, a name or a whole link, into the last segment of an address. */
function roomPath(typed: string): string {
  const last =
    typed
      .trim()
      .replace(/[?#].*$/, "")
      .replace(/\/+$/, "")
      .split("/")
      .pop() ?? "";
  return last.trim().replace(/\s+/g, "-");
}

export function HomePage({ settings }: { settings: SettingsStore }): JSX.Element {
  const [suggestion] = useState(suggestRoom);
  const [typed, setTyped] = useState("");
  const input = useInitialFocus<HTMLInputElement>();
  const recent = settings.get().recentRooms;
  return (
    <main class="page home">
      <Brand />
      <h1>Meet face to face</h1>
      <p class="lead">Choose a name, share the link, and talk. No account, nothing to install.</p>
      <form
        class="home-form"
        onSubmit={(event) => {
          event.preventDefault();
          const room = roomPath(typed) || suggestion;
          location.assign(`/${encodeURIComponent(room)}`);
        }}
      >
        <label class="field grow">
          <span>Name of the meeting</span>
          <input
            ref={input}
            data-testid="room-input"
            value={typed}
            placeholder={suggestion}
            maxLength={120}
            autocapitalize="off"
            onInput={(event) => setTyped(event.currentTarget.value)}
          />
        </label>
        <button type="submit" class="button primary large" data-testid="room-go">
          Start or join
        </button>
      </form>
      {recent.length > 0 && (
        <nav class="recent" aria-label="Recent meetings">
          <h2>Recent meetings</h2>
          <ul>
            {recent.map((room) => (
              <li key={room}>
                <a href={`/${encodeURIComponent(room)}`}>{room}</a>
              </li>
            ))}
          </ul>
        </nav>
      )}
    </main>
  );
}

export function PrejoinPage({ meeting, state }: { meeting: Meeting; state: MeetingState }): JSX.Element {
  const media = useValue(meeting.media.state);
  const [name, setName] = useState(meeting.options.settings.get().name);
  const input = useInitialFocus<HTMLInputElement>();
  const { requireName } = meeting.options.config;
  const blocked = requireName && name.trim() === "";
  const problem = media.audioError || media.videoError;
  return (
    <main class="page prejoin">
      <Brand />
      <div class="prejoin-body">
        <section class="preview" aria-label="Your picture">
          <Video track={media.videoTrack} mirrored label="Your picture" />
          {media.videoTrack === null && (
            <div class="avatar-area">
              <span class="avatar" style={{ "--hue": String(hueOf(name)) }} aria-hidden="true">
                {initials(name)}
              </span>
              <span class="preview-note">
                {media.videoBusy ? "The camera is starting…" : "Your camera is off"}
              </span>
            </div>
          )}
          <div class="preview-tools">
            <button
              type="button"
              class={`tool tool-${media.audioOn ? "on" : "off"}`}
              data-testid="prejoin-audio"
              aria-label={media.audioOn ? "Mute microphone" : "Unmute microphone"}
              onClick={() => meeting.own.toggleAudio()}
            >
              <Icon name={media.audioOn ? "mic" : "micOff"} />
            </button>
            <button
              type="button"
              class={`tool tool-${media.videoOn ? "on" : "off"}`}
              data-testid="prejoin-video"
              aria-label={media.videoOn ? "Stop camera" : "Start camera"}
              onClick={() => meeting.own.toggleVideo()}
            >
              <Icon name={media.videoOn ? "camera" : "cameraOff"} />
            </button>
          </div>
        </section>
        <form
          class="form card"
          onSubmit={(event) => {
            event.preventDefault();
            if (!blocked) meeting.entry.join(name);
          }}
        >
          <h1>{meeting.options.roomTitle}</h1>
          {state.problem !== undefined && (
            <p class="field-error" role="alert">
              {state.problem.title} {state.problem.hint}
            </p>
          )}
          <label class="field">
            <span>Your name</span>
            <input
              ref={input}
              data-testid="prejoin-name"
              value={name}
              maxLength={80}
              required={requireName}
              autocomplete="name"
              placeholder="How the others see you"
              onInput={(event) => setName(event.currentTarget.value)}
            />
          </label>
          <DevicePickers media={meeting.media} state={media} />
          {problem !== "" && (
            <p class="hint" role="status">
              <Icon name="alert" size={16} /> {problem} You can join without it.
            </p>
          )}
          <button type="submit" class="button primary large" data-testid="prejoin-join" disabled={blocked}>
            Join the meeting
          </button>
        </form>
      </div>
    </main>
  );
}

export function LeftPage({ meeting, state }: { meeting: Meeting; state: MeetingState }): JSX.Element {
  const button = useInitialFocus<HTMLButtonElement>();
  const { problem } = state;
  return (
    <main class="page left" data-testid="left-page">
      <Brand />
      <div class="card center" role={problem === undefined ? undefined : "alert"}>
        <h1>{problem?.title ?? "You left the meeting."}</h1>
        {problem !== undefined && problem.hint !== "" && <p>{problem.hint}</p>}
        <div class="row">
          <button
            ref={button}
            type="button"
            class="button primary large"
            data-testid="rejoin"
            onClick={() => meeting.entry.rejoin()}
          >
            {problem === undefined ? "Join again" : "Try again"}
          </button>
          <a class="button large" href="/">
            Home
          </a>
        </div>
      </div>
    </main>
  );
}
