// Chooses the page and shows notices over it.

import type { JSX } from "preact";
import type { Meeting } from "../model/meeting";
import { LeftPage, PrejoinPage } from "./components/pages";
import { RoomPage } from "./components/room";
import { useValue } from "./hooks";
import { Icon } from "./icons";

export function App({ meeting }: { meeting: Meeting }): JSX.Element {
  const state = useValue(meeting.state);
  return (
    <>
      {state.page === "prejoin" && <PrejoinPage meeting={meeting} state={state} />}
      {state.page === "room" && <RoomPage meeting={meeting} state={state} />}
      {state.page === "left" && <LeftPage meeting={meeting} state={state} />}
      <Notices meeting={meeting} />
    </>
  );
}

function Notices({ meeting }: { meeting: Meeting }): JSX.Element {
  const notices = useValue(meeting.notices);
  return (
    <div class="notices" role="log" aria-live="polite" aria-label="Notices">
      {notices.map((notice) => (
        <div class={`notice${notice.important ? " important" : ""}`} key={notice.id} data-testid="notice">
          {notice.important && <Icon name="alert" size={18} />}
          <span>{notice.text}</span>
          <button
            type="button"
            class="icon-button"
            aria-label="Dismiss"
            onClick={() => meeting.dismiss(notice.id)}
          >
            <Icon name="close" size={16} />
          </button>
        </div>
      ))}
    </div>
  );
}
