// The side panels: chat and the list of people.

import type { JSX } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import { type ChatEntry, linkify, MAX_MESSAGE } from "../../model/chat";
import type { Meeting, MeetingState } from "../../model/meeting";
import { displayName, hueOf, initials, type Person } from "../../model/people";
import { texts } from "../../model/texts";
import { useInitialFocus, useValue } from "../hooks";
import { Icon, type IconName } from "../icons";
import { Sheet } from "./sheet";

const timeFormat = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });

function Message({ entry }: { entry: ChatEntry }): JSX.Element {
  const privately =
    entry.privateWith === undefined
      ? ""
      : entry.own
        ? texts.chat.toPrivately(entry.privateWith)
        : texts.chat.toYou;
  return (
    <li class={`message${entry.own ? " own" : ""}${entry.privateWith === undefined ? "" : " private"}`}>
      <div class="message-head">
        <strong>{entry.own ? texts.chat.you : entry.name}</strong>
        <span>{privately}</span>
        <time dateTime={new Date(entry.at).toISOString()}>{timeFormat.format(entry.at)}</time>
      </div>
      <p data-testid="chat-message">
        {linkify(entry.text).map((part, index) =>
          "link" in part ? (
            <a key={index} href={part.link} target="_blank" rel="noopener noreferrer">
              {part.link}
            </a>
          ) : (
            part.text
          ),
        )}
      </p>
    </li>
  );
}

export function ChatPanel({ meeting, state }: { meeting: Meeting; state: MeetingState }): JSX.Element {
  const chat = useValue(meeting.chat.state);
  const list = useRef<HTMLOListElement>(null);
  const input = useInitialFocus<HTMLTextAreaElement>();
  const others = state.people.filter((p) => !p.local);
  const { to, draft } = chat;

  useLayoutEffect(() => {
    list.current?.scrollTo({ top: list.current.scrollHeight });
  }, [chat.entries.length]);

  return (
    <Sheet
      title={texts.chat.title}
      closeLabel={texts.chat.close}
      testid="chat-panel"
      opener="toggle-chat"
      onClose={() => meeting.view.togglePanel("chat")}
    >
      <ol class="messages" ref={list} aria-live="polite" aria-label={texts.chat.messages}>
        {chat.entries.length === 0 && <li class="empty-note">{texts.chat.none}</li>}
        {chat.entries.map((entry) => (
          <Message key={entry.id} entry={entry} />
        ))}
      </ol>
      <form
        class="chat-form"
        onSubmit={(event) => {
          event.preventDefault();
          meeting.chat.send();
        }}
      >
        {chat.error !== "" && (
          <p class="field-error" role="alert">
            {chat.error}
          </p>
        )}
        <label class="chat-to">
          <span>{texts.chat.to}</span>
          <select
            data-testid="chat-to"
            value={to?.id ?? ""}
            aria-invalid={to?.here === false}
            onChange={(event) => meeting.chat.setTo(event.currentTarget.value || undefined)}
          >
            <option value="">{texts.everybody}</option>
            {to?.here === false && (
              <option key={to.id} value={to.id}>
                {texts.hasLeft(to.name)}
              </option>
            )}
            {others.map((p) => (
              <option key={p.id} value={p.id}>
                {texts.privately(p.name)}
              </option>
            ))}
          </select>
        </label>
        <div class="chat-line">
          <textarea
            ref={input}
            data-testid="chat-input"
            aria-label={texts.chat.message}
            placeholder={texts.chat.placeholder}
            rows={2}
            maxLength={MAX_MESSAGE}
            value={draft}
            onInput={(event) => meeting.chat.setDraft(event.currentTarget.value)}
            onKeyDown={(event) => {
              if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
              event.preventDefault();
              meeting.chat.send();
            }}
          />
          <button
            type="submit"
            class="icon-button primary"
            data-testid="chat-send"
            aria-label={texts.chat.send}
            disabled={draft.trim() === ""}
          >
            <Icon name="send" size={20} />
          </button>
        </div>
      </form>
    </Sheet>
  );
}

interface PersonAction {
  readonly icon: IconName;
  readonly label: string;
  readonly testid: string;
  readonly run: () => void;
}

function actionsFor(meeting: Meeting, person: Person, moderator: boolean): PersonAction[] {
  if (person.local) return [];
  const actions: PersonAction[] = [];
  if (moderator) {
    if (!person.audioMuted) {
      actions.push({
        icon: "micOff",
        label: texts.roster.mute(person.name),
        testid: "mute-person",
        run: () => meeting.moderation.mutePerson(person.id, "audio"),
      });
    }
    if (!person.videoMuted) {
      actions.push({
        icon: "cameraOff",
        label: texts.roster.stopCamera(person.name),
        testid: "stop-camera-person",
        run: () => meeting.moderation.mutePerson(person.id, "video"),
      });
    }
    if (!person.moderator) {
      actions.push({
        icon: "crown",
        label: texts.roster.promote(person.name),
        testid: "grant-person",
        run: () => meeting.moderation.grantModerator(person.id),
      });
    }
  }
  actions.push({
    icon: "chat",
    label: texts.roster.write(person.name),
    testid: "write-person",
    run: () => {
      meeting.chat.setTo(person.id);
      meeting.view.showPanel("chat");
    },
  });
  if (moderator) {
    actions.push({
      icon: "remove",
      label: texts.roster.remove(person.name),
      testid: "kick-person",
      run: () => meeting.moderation.kick(person.id),
    });
  }
  return actions;
}

function PersonRow({
  meeting,
  person,
  moderator,
}: {
  meeting: Meeting;
  person: Person;
  moderator: boolean;
}): JSX.Element {
  return (
    <li class="person" data-testid="person" data-endpoint-id={person.id}>
      <span class="avatar small" style={{ "--hue": String(hueOf(person.id)) }} aria-hidden="true">
        {initials(person.name)}
      </span>
      <span class="person-name">
        <span class="clamped">{person.local ? texts.roster.you(person.name) : person.name}</span>
        {person.moderator && <small>{texts.roster.moderator}</small>}
      </span>
      {person.handRaised && (
        <span class="person-flag" role="img" aria-label={texts.roster.handRaised}>
          <Icon name="hand" size={18} />
        </span>
      )}
      <span
        class="person-flag"
        role="img"
        aria-label={person.audioMuted ? texts.roster.muted : texts.roster.micOn}
      >
        <Icon name={person.audioMuted ? "micOff" : "mic"} size={18} />
      </span>
      <span
        class="person-flag"
        role="img"
        aria-label={person.videoMuted ? texts.roster.cameraOff : texts.roster.cameraOn}
      >
        <Icon name={person.videoMuted ? "cameraOff" : "camera"} size={18} />
      </span>
      <span class="person-actions">
        {actionsFor(meeting, person, moderator).map((action) => (
          <button
            type="button"
            class="icon-button"
            key={action.testid}
            data-testid={action.testid}
            aria-label={action.label}
            title={action.label}
            onClick={action.run}
          >
            <Icon name={action.icon} size={18} />
          </button>
        ))}
      </span>
    </li>
  );
}

export function PeoplePanel({ meeting, state }: { meeting: Meeting; state: MeetingState }): JSX.Element {
  const anyoneLoud = state.people.some((p) => !p.local && !p.audioMuted);
  return (
    <Sheet
      title={texts.roster.title(state.people.length)}
      closeLabel={texts.roster.close}
      testid="people-panel"
      opener="toggle-people"
      onClose={() => meeting.view.togglePanel("people")}
    >
      {state.knockers.length > 0 && (
        <ul class="knockers" aria-label={texts.askingToJoin}>
          {state.knockers.map((k) => (
            <li class="person" key={k.id} data-testid="knocker">
              <span class="person-name">
                <span>{displayName(k.name)}</span>
                <small>{texts.asksToJoin}</small>
              </span>
              <button
                type="button"
                class="button"
                data-testid="reject"
                onClick={() => meeting.moderation.reject(k.id)}
              >
                {texts.refuse}
              </button>
              <button
                type="button"
                class="button primary"
                data-testid="admit"
                onClick={() => meeting.moderation.admit(k.id)}
              >
                {texts.letIn}
              </button>
            </li>
          ))}
        </ul>
      )}
      <ul class="people" aria-label={texts.roster.list}>
        {state.people.map((person) => (
          <PersonRow key={person.id} meeting={meeting} person={person} moderator={state.moderator} />
        ))}
      </ul>
      {state.moderator && (
        <footer class="panel-foot">
          <button
            type="button"
            class="button"
            data-testid="mute-everyone"
            disabled={!anyoneLoud}
            onClick={() => meeting.moderation.muteEveryone()}
          >
            <Icon name="micOff" size={18} /> {texts.roster.muteAll}
          </button>
        </footer>
      )}
    </Sheet>
  );
}
