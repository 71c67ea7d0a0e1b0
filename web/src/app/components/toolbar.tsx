// The row of buttons at the bottom of the room.

import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type { LocalMediaState } from "../../model/local-media";
import type { Meeting, MeetingState } from "../../model/meeting";
import { texts } from "../../model/texts";
import { copyLink, moveAlong, toggleFullscreen } from "../browser";
import { Icon, type IconName } from "../icons";

interface ButtonProps {
  readonly icon: IconName;
  readonly label: string;
  readonly shortcut?: string;
  readonly testid: string;
  readonly onClick: () => void;
  readonly pressed?: boolean;
  readonly tone?: "off" | "danger" | "on";
  readonly badge?: number;
  /** A count that asks for attention, shown instead of the other. */
  readonly alert?: number;
  readonly busy?: boolean;
  readonly extra?: string;
}

function ToolButton(props: ButtonProps): JSX.Element {
  const classes = ["tool", props.tone && `tool-${props.tone}`, props.busy && "busy", props.extra];
  const waiting = props.alert !== undefined && props.alert > 0;
  const count = waiting ? props.alert : props.badge;
  const hint = props.shortcut === undefined ? props.label : `${props.label} (${props.shortcut})`;
  return (
    <button
      type="button"
      class={classes.filter(Boolean).join(" ")}
      data-testid={props.testid}
      aria-label={props.label}
      aria-keyshortcuts={props.shortcut}
      aria-pressed={props.pressed}
      title={hint}
      onClick={props.onClick}
    >
      <Icon name={props.icon} />
      {count !== undefined && count > 0 && (
        <span class={waiting ? "badge alert" : "badge"} data-testid={waiting ? "badge-alert" : undefined}>
          {count}
        </span>
      )}
    </button>
  );
}

export interface ToolbarProps {
  readonly meeting: Meeting;
  readonly state: MeetingState;
  readonly media: LocalMediaState;
  readonly unread: number;
}

export function Toolbar({ meeting, state, media, unread }: ToolbarProps): JSX.Element {
  const canShare = typeof navigator.mediaDevices?.getDisplayMedia === "function";
  return (
    <div
      class="toolbar"
      role="toolbar"
      aria-label={texts.bar.title}
      tabIndex={-1}
      onKeyDown={(event) => moveAlong(event, event.currentTarget)}
    >
      <ToolButton
        icon={media.audioOn ? "mic" : "micOff"}
        label={media.audioOn ? texts.bar.mute : texts.bar.unmute}
        shortcut="M"
        testid="toggle-audio"
        tone={media.audioOn ? "on" : "off"}
        busy={media.audioBusy}
        onClick={() => meeting.own.toggleAudio()}
      />
      <ToolButton
        icon={media.videoOn ? "camera" : "cameraOff"}
        label={media.videoOn ? texts.bar.stopCamera : texts.bar.startCamera}
        shortcut="V"
        testid="toggle-video"
        tone={media.videoOn ? "on" : "off"}
        busy={media.videoBusy}
        onClick={() => meeting.own.toggleVideo()}
      />
      {canShare && (
        <ToolButton
          icon="screen"
          label={media.screenOn ? texts.bar.stopSharing : texts.bar.share}
          shortcut="D"
          testid="toggle-screen"
          pressed={media.screenOn}
          onClick={() => meeting.own.toggleScreen()}
        />
      )}
      <ToolButton
        icon="hand"
        label={state.handRaised ? texts.bar.lowerHand : texts.bar.raiseHand}
        shortcut="R"
        testid="toggle-hand"
        pressed={state.handRaised}
        extra="wide-only"
        onClick={() => meeting.own.toggleHand()}
      />
      <ToolButton
        icon="chat"
        label={texts.bar.chat(unread)}
        shortcut="C"
        testid="toggle-chat"
        pressed={state.panel === "chat"}
        badge={unread}
        onClick={() => meeting.view.togglePanel("chat")}
      />
      <ToolButton
        icon="people"
        label={texts.people(state.people.length, state.knockers.length)}
        shortcut="P"
        testid="toggle-people"
        pressed={state.panel === "people"}
        badge={state.people.length}
        alert={state.knockers.length}
        onClick={() => meeting.view.togglePanel("people")}
      />
      <ToolButton
        icon={state.stage === undefined ? "stage" : "grid"}
        label={state.stage === undefined ? texts.bar.stage : texts.bar.grid}
        shortcut="W"
        testid="toggle-view"
        extra="wide-only"
        onClick={() => meeting.stage.toggleView()}
      />
      <MoreMenu meeting={meeting} state={state} />
      <ToolButton
        icon="leave"
        label={texts.bar.leave}
        testid="leave"
        tone="danger"
        onClick={() => void meeting.entry.leave()}
      />
    </div>
  );
}

interface MenuEntry {
  readonly icon: IconName;
  readonly label: string;
  readonly testid: string;
  readonly run: () => void;
  /** Stands in the tool bar where that is wide enough. */
  readonly narrowOnly?: boolean;
}

function entriesFor(meeting: Meeting, state: MeetingState): MenuEntry[] {
  const entries: MenuEntry[] = [
    { icon: "link", label: texts.bar.copyLink, testid: "copy-link", run: () => void copyLink(meeting) },
    {
      icon: "settings",
      label: texts.bar.settings,
      testid: "settings",
      run: () => meeting.view.openDialog("settings"),
    },
    {
      icon: "quality",
      label: texts.bar.quality,
      testid: "quality",
      run: () => meeting.view.openDialog("quality"),
    },
    {
      icon: "hand",
      label: state.handRaised ? texts.bar.lowerHand : texts.bar.raiseHand,
      testid: "menu-hand",
      narrowOnly: true,
      run: () => meeting.own.toggleHand(),
    },
    {
      icon: state.stage === undefined ? "stage" : "grid",
      label: state.stage === undefined ? texts.bar.stage : texts.bar.grid,
      testid: "menu-view",
      narrowOnly: true,
      run: () => meeting.stage.toggleView(),
    },
    { icon: "expand", label: texts.bar.fullscreen, testid: "fullscreen", run: toggleFullscreen },
    {
      icon: "keyboard",
      label: texts.bar.shortcuts,
      testid: "shortcuts",
      run: () => meeting.view.openDialog("help"),
    },
  ];
  if (state.moderator) {
    const label = state.locked ? texts.bar.changeLock : texts.bar.lock;
    const door = state.lobby ? texts.bar.doorOpen : texts.bar.doorKnock;
    entries.splice(
      1,
      0,
      { icon: "lock", label, testid: "lock", run: () => meeting.view.openDialog("lock") },
      {
        icon: "people",
        label: door,
        testid: "lobby",
        run: () => meeting.moderation.setLobbyEnabled(!state.lobby),
      },
    );
  }
  return entries;
}

function MoreMenu({ meeting, state }: { meeting: Meeting; state: MeetingState }): JSX.Element {
  const [open, setOpen] = useState(false);
  const box = useRef<HTMLDivElement>(null);
  const button = useRef<HTMLButtonElement>(null);

  useEffect(() => {
    if (!open) return undefined;
    box.current?.querySelector<HTMLElement>("[role=menuitem]")?.focus();
    const outside = (event: Event): void => {
      if (event.target instanceof Node && box.current?.contains(event.target) !== true) setOpen(false);
    };
    document.addEventListener("pointerdown", outside);
    return () => document.removeEventListener("pointerdown", outside);
  }, [open]);

  const onKey = (event: KeyboardEvent): void => {
    const items = [...(box.current?.querySelectorAll<HTMLElement>("[role=menuitem]") ?? [])].filter(
      (item) => item.offsetParent !== null,
    );
    const at = items.indexOf(document.activeElement as HTMLElement);
    const move = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: items.length - 1 }[event.key];
    if (move !== undefined) {
      event.preventDefault();
      items[(move + items.length) % items.length]?.focus();
    } else if (event.key === "Escape" || event.key === "Tab") {
      event.stopPropagation();
      setOpen(false);
      button.current?.focus();
    }
  };

  return (
    <div class="menu-box" ref={box}>
      <button
        type="button"
        ref={button}
        class="tool"
        data-testid="more"
        aria-label={texts.bar.more}
        aria-haspopup="menu"
        aria-expanded={open}
        title={texts.bar.more}
        onClick={() => setOpen(!open)}
      >
        <Icon name="more" />
      </button>
      {open && (
        <div class="menu" role="menu" aria-label={texts.bar.more} tabIndex={-1} onKeyDown={onKey}>
          {entriesFor(meeting, state).map((entry) => (
            <button
              type="button"
              role="menuitem"
              tabIndex={-1}
              key={entry.testid}
              class={entry.narrowOnly ? "narrow-only" : undefined}
              data-testid={entry.testid}
              onClick={() => {
                setOpen(false);
                button.current?.focus();
                entry.run();
              }}
            >
              <Icon name={entry.icon} size={18} />
              {entry.label}
            </button>
          ))}
        </div>
      )}
    </div>
  );
}
