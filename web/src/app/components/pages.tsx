// The pages before and after a meeting: home, preparing to join, and having left.

import type { JSX } from "preact";
import { useId, useState } from "preact/hooks";
import type { Meeting, MeetingState } from "../../model/meeting";
import { suggestRoom } from "../../model/names";
import { hueOf, initials } from "../../model/people";
import type { SettingsStore } from "../../model/settings";
import { texts } from "../../model/texts";
import { type Reading, readPath, readTyped } from "../../protocol/room-names";
import { useInitialFocus, useValue } from "../hooks";
import { Icon } from "../icons";
import { DevicePickers } from "./devices";
import { Video } from "./video";

function Brand(): JSX.Element {
  return (
    <a class="brand" href="/" aria-label={texts.brandHome}>
      <img src="/icon.svg" alt="" width={32} height={32} />
      <span>Pontoon</span>
    </a>
  );
}

/** What is wrong with an address or a name, or where else it leads. */
function AddressProblem({ id, reading }: { id: string; reading: Reading }): JSX.Element | null {
  if (reading.kind === "refused") {
    return (
      <p class="field-error" role="alert" id={id} data-testid="room-problem">
        {texts.home.problems[reading.problem](reading.title)}
      </p>
    );
  }
  if (reading.kind !== "elsewhere") return null;
  return (
    <p class="field-error" role="alert" id={id} data-testid="room-problem">
      {texts.home.elsewhere(reading.host)}{" "}
      <a href={reading.url} data-testid="room-elsewhere" rel="noreferrer">
        {texts.home.openThere}
      </a>
    </p>
  );
}

/** @param address what the page's own address says, when it is no room */
export function HomePage({ settings, address }: { settings: SettingsStore; address: Reading }): JSX.Element {
  const [suggestion] = useState(suggestRoom);
  const [typed, setTyped] = useState(address.kind === "refused" ? address.title : "");
  const [reading, setReading] = useState<Reading>(address);
  const input = useInitialFocus<HTMLInputElement>();
  const problem = useId();
  const recent = settings.get().recent.flatMap((path) => {
    const found = readPath(path);
    return found.kind === "room" ? [found.room] : [];
  });
  const go = (): void => {
    const found = readTyped(typed.trim() || suggestion, location.host);
    setReading(found);
    if (found.kind === "room") location.assign(`/${found.room.path}`);
    else input.current?.focus();
  };
  const wrong = reading.kind === "refused" || reading.kind === "elsewhere";
  return (
    <main class="page home">
      <Brand />
      <h1>{texts.home.title}</h1>
      <p class="lead">{texts.home.lead}</p>
      <form
        class="home-form"
        onSubmit={(event) => {
          event.preventDefault();
          go();
        }}
      >
        <label class="field grow">
          <span>{texts.home.name}</span>
          <input
            ref={input}
            data-testid="room-input"
            value={typed}
            placeholder={suggestion}
            maxLength={2_000}
            autocapitalize="off"
            aria-invalid={wrong}
            aria-describedby={wrong ? problem : undefined}
            onInput={(event) => {
              setTyped(event.currentTarget.value);
              setReading({ kind: "none" });
            }}
          />
        </label>
        <button type="submit" class="button primary large" data-testid="room-go">
          {texts.home.go}
        </button>
      </form>
      <AddressProblem id={problem} reading={reading} />
      {recent.length > 0 && (
        <nav class="recent" aria-label={texts.home.recent}>
          <h2>{texts.home.recent}</h2>
          <ul>
            {recent.map(({ path, title }) => (
              <li key={path}>
                <a href={`/${path}`} data-testid="recent">
                  {path.includes("/") && <small>{tenantOf(path)}</small>}
                  {title}
                </a>
              </li>
            ))}
          </ul>
        </nav>
      )}
    </main>
  );
}

function tenantOf(path: string): string {
  const tenant = path.slice(0, path.indexOf("/"));
  try {
    return `${decodeURIComponent(tenant)} / `;
  } catch {
    return `${tenant} / `;
  }
}

export function PrejoinPage({ meeting, state }: { meeting: Meeting; state: MeetingState }): JSX.Element {
  const media = useValue(meeting.media.state);
  const [name, setName] = useState(meeting.options.settings.get().name);
  const input = useInitialFocus<HTMLInputElement>();
  const { requireName } = meeting.options.config;
  const blocked = requireName && name.trim() === "";
  const { problem } = meeting.media;
  return (
    <main class="page prejoin">
      <Brand />
      <div class="prejoin-body">
        <section class="preview" aria-label={texts.prejoin.picture}>
          <Video track={media.videoTrack} mirrored label={texts.prejoin.picture} />
          {media.videoTrack === null && (
            <div class="avatar-area">
              <span class="avatar" style={{ "--hue": String(hueOf(name)) }} aria-hidden="true">
                {initials(name)}
              </span>
              <span class="preview-note">{media.videoBusy ? texts.prejoin.starting : texts.prejoin.off}</span>
            </div>
          )}
          <div class="preview-tools">
            <button
              type="button"
              class={`tool tool-${media.audioOn ? "on" : "off"}`}
              data-testid="prejoin-audio"
              aria-label={media.audioOn ? texts.bar.mute : texts.bar.unmute}
              onClick={() => meeting.own.toggleAudio()}
            >
              <Icon name={media.audioOn ? "mic" : "micOff"} />
            </button>
            <button
              type="button"
              class={`tool tool-${media.videoOn ? "on" : "off"}`}
              data-testid="prejoin-video"
              aria-label={media.videoOn ? texts.bar.stopCamera : texts.bar.startCamera}
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
          <h1 class="clamped">{meeting.options.roomTitle}</h1>
          {state.problem !== undefined && (
            <p class="field-error" role="alert">
              {state.problem.title} {state.problem.hint}
            </p>
          )}
          <label class="field">
            <span>{texts.yourName}</span>
            <input
              ref={input}
              data-testid="prejoin-name"
              value={name}
              maxLength={80}
              required={requireName}
              autocomplete="name"
              placeholder={texts.prejoin.namePlaceholder}
              onInput={(event) => setName(event.currentTarget.value)}
            />
          </label>
          <DevicePickers media={meeting.media} state={media} />
          {problem !== "" && (
            <p class="hint" role="status">
              <Icon name="alert" size={16} /> {problem} {texts.prejoin.without}
            </p>
          )}
          <button type="submit" class="button primary large" data-testid="prejoin-join" disabled={blocked}>
            {texts.prejoin.join}
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
        <h1 class="clamped">{problem?.title ?? texts.out.left}</h1>
        {problem !== undefined && problem.hint !== "" && <p class="clamped">{problem.hint}</p>}
        <div class="row">
          <button
            ref={button}
            type="button"
            class="button primary large"
            data-testid="rejoin"
            onClick={() => meeting.entry.rejoin()}
          >
            {problem === undefined || problem.over ? texts.out.again : texts.out.retry}
          </button>
          <a class="button large" href="/">
            {texts.out.home}
          </a>
        </div>
      </div>
    </main>
  );
}
