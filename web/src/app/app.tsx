// Chooses the page.

import type { JSX } from "preact";
import type { Meeting } from "../model/meeting";
import { LeftPage, PrejoinPage } from "./components/pages";
import { RoomPage } from "./components/room";
import { useValue } from "./hooks";

export function App({ meeting }: { meeting: Meeting }): JSX.Element {
  const state = useValue(meeting.state);
  return (
    <>
      {state.page === "prejoin" && <PrejoinPage meeting={meeting} state={state} />}
      {state.page === "room" && <RoomPage meeting={meeting} state={state} />}
      {state.page === "left" && <LeftPage meeting={meeting} state={state} />}
    </>
  );
}
