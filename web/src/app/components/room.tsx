// The room itself.

import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { standingOf } from "../../model/connectivity";
import type { Meeting, MeetingState } from "../../model/meeting";
import { commandFor } from "../../model/shortcuts";
import { texts } from "../../model/texts";
import { copyLink, keepAwake, toggleFullscreen } from "../browser";
import { useInitialFocus, useInterval, useValue } from "../hooks";
import { Icon } from "../icons";
import { timings } from "../timings";
import { Dialogs } from "./dialogs";
import { ChatPanel, PeoplePanel } from "./panels";
import { Stage } from "./stage";
import { Toolbar } from "./toolbar";
import { Audio } from "./video";

export function RoomPage({ meeting, state }: { meeting: Meeting; state: MeetingState }): JSX.Element {
  const media = useValue(meeting.media.state);
  const chat = useValue(meeting.chat.state);
  useKeyboard(meeting);
  usePeerSpeaker(meeting, state.peer);
  useWakeLock();
  const root = useInitialFocus<HTMLDivElement>();
  return (
    <div class="room" ref={root} tabIndex={-1}>
      <Header meeting={meeting} state={state} />
      <main class="room-main">
        <Stage meeting={meeting} state={state} />
      </main>
      {state.panel === "chat" && <ChatPanel meeting={meeting} state={state} />}
      {state.panel === "people" && <PeoplePanel meeting={meeting} state={state} />}
      <Toolbar meeting={meeting} state={state} media={media} unread={chat.unread} />
      <Sound meeting={meeting} state={state} />
      <Dialogs meeting={meeting} state={state} media={media} />
    </div>
  );
}

function useWakeLock(): void {
  useEffect(() => {
    const again = (): void => void keepAwake();
    again();
    document.addEventListener("visibilitychange", again);
    return () => document.removeEventListener("visibilitychange", again);
  }, []);
}

function Header({ meeting, state }: { meeting: Meeting; state: MeetingState }): JSX.Element {
  const connection = standingOf(state);
  const alone = connection === "connected" && state.people.length === 1;
  const words = state.waiting?.title ?? (alone ? texts.alone : texts.standing[connection]);
  return (
    <header class="room-head">
      <h1 class="room-title">
        {state.locked && <Icon name="lock" size={16} />}
        <span class="one-line">{state.subject || meeting.options.roomTitle}</span>
      </h1>
      {state.startedAt !== undefined && <Elapsed since={state.startedAt} />}
      <span
        class={`connection connection-${connection}`}
        role="status"
        data-testid="connection-state"
        data-state={connection}
        data-media={state.media}
        data-peer={String(state.peer)}
      >
        {words}
      </span>
      {alone && (
        <button
          type="button"
          class="button small"
          data-testid="invite"
          onClick={() => void copyLink(meeting)}
        >
          <Icon name="link" size={16} /> {texts.bar.copyLink}
        </button>
      )}
      {state.noBridge && (
        <span class="connection connection-interrupted" role="alert">
          {texts.noBridge}
        </span>
      )}
    </header>
  );
}

function Elapsed({ since }: { since: number }): JSX.Element {
  const [now, setNow] = useState(Date.now());
  useInterval(() => setNow(Date.now()), 1_000);
  const seconds = Math.max(0, Math.floor((now - since) / 1_000));
  const two = (n: number): string => String(n).padStart(2, "0");
  const hours = Math.floor(seconds / 3_600);
  const rest = `${two(Math.floor((seconds % 3_600) / 60))}:${two(seconds % 60)}`;
  return (
    <span class="elapsed" role="timer" aria-label={texts.elapsed}>
      {hours > 0 ? `${hours}:${rest}` : rest}
    </span>
  );
}

/** The sound of everybody else. */
function Sound({ meeting, state }: { meeting: Meeting; state: MeetingState }): JSX.Element {
  const [blocked, setBlocked] = useState(false);
  const [attempt, setAttempt] = useState(0);
  const { speaker: sink } = meeting.media.state.get();
  const speakers = state.people.filter((p) => !p.local && p.audioTrack !== null);
  return (
    <>
      {speakers.map((p) =>
        p.audioTrack === null ? null : (
          <Audio
            key={p.id}
            track={p.audioTrack}
            sink={sink}
            onSinkFailed={() => meeting.media.speakerFailed(sink)}
            attempt={attempt}
            onBlocked={() => setBlocked(true)}
          />
        ),
      )}
      {blocked && speakers.length > 0 && (
        <button
          type="button"
          class="button primary sound-button"
          data-testid="enable-sound"
          onClick={() => {
            setBlocked(false);
            setAttempt(attempt + 1);
          }}
        >
          <Icon name="speaker" size={18} /> {texts.turnOnSound}
        </button>
      )}
    </>
  );
}

function isTyping(event: KeyboardEvent): boolean {
  const { target } = event;
  if (!(target instanceof HTMLElement)) return false;
  if (target.closest("input, textarea, select, [contenteditable]") !== null) return true;
  // Space and Enter operate a focused control.
  const operates = event.key === " " || event.key === "Enter";
  return operates && target.closest("button, a, [role=menuitem], summary") !== null;
}

function useKeyboard(meeting: Meeting): void {
  useEffect(() => {
    const down = (event: KeyboardEvent): void => {
      const { key, ctrlKey, metaKey, altKey, repeat } = event;
      const command = commandFor({ key, ctrlKey, metaKey, altKey, repeat, typing: isTyping(event) });
      if (command === undefined) return;
      const inDialog = meeting.state.get().dialog !== "none";
      if (inDialog && !("action" in command && command.action === "help")) return;
      if ("talk" in command) {
        event.preventDefault();
        meeting.own.setTalking(true);
      } else if ("person" in command) {
        meeting.stage.focusPerson(command.person);
      } else if (command.action === "toggle-fullscreen") {
        toggleFullscreen();
      } else {
        // The letter must not end up in the field that is about to get the focus.
        if (command.action !== "close") event.preventDefault();
        meeting.act(command.action);
      }
    };
    const up = (event: KeyboardEvent): void => {
      if (event.key === " ") meeting.own.setTalking(false);
    };
    const blur = (): void => meeting.own.setTalking(false);
    document.addEventListener("keydown", down);
    document.addEventListener("keyup", up);
    window.addEventListener("blur", blur);
    return () => {
      document.removeEventListener("keydown", down);
      document.removeEventListener("keyup", up);
      window.removeEventListener("blur", blur);
    };
  }, [meeting]);
}

const LOUD = 0.02;

/** With a direct connection nobody tells who speaks, so listen. */
function usePeerSpeaker(meeting: Meeting, peer: boolean): void {
  useInterval(() => {
    for (const { source, track, receiver } of meeting.conference.remoteTracks()) {
      if (track.readyState === "live") timings.mark("firstRemoteTrack");
      if (!peer || source.media !== "audio") continue;
      const level = receiver.getSynchronizationSources()[0]?.audioLevel ?? 0;
      meeting.stage.noteSpeaker(level > LOUD ? source.owner : "");
    }
  }, 400);
}
