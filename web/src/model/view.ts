// What is open in the room besides the pictures: a side panel, a dialog, the strip.

import { Value } from "./observable";

export type Panel = "none" | "chat" | "people";
export type Dialog = "none" | "help" | "settings" | "password" | "lock" | "quality" | "knock";

export interface ViewState {
  readonly panel: Panel;
  readonly dialog: Dialog;
  readonly stripShown: boolean;
}

export class View {
  readonly state = new Value<ViewState>({ panel: "none", dialog: "none", stripShown: true });

  togglePanel(panel: Panel): void {
    this.state.update((s) => ({ ...s, panel: s.panel === panel ? "none" : panel }));
  }

  showPanel(panel: Panel): void {
    this.state.update((s) => ({ ...s, panel }));
  }

  /** Opens a dialog; the one that is open is closed by asking for it again. */
  openDialog(dialog: Dialog): void {
    this.state.update((s) => ({ ...s, dialog: s.dialog === dialog ? "none" : dialog }));
  }

  showDialog(dialog: Dialog): void {
    this.state.update((s) => ({ ...s, dialog }));
  }

  /** Closes some dialogs, if one of them is open. */
  closeDialogs(...dialogs: readonly Dialog[]): void {
    if (dialogs.includes(this.state.get().dialog)) this.showDialog("none");
  }

  toggleStrip(): void {
    this.state.update((s) => ({ ...s, stripShown: !s.stripShown }));
  }

  /** Closes what lies on top. */
  closeTop(): void {
    if (this.state.get().dialog !== "none") this.showDialog("none");
    else this.showPanel("none");
  }

  closeAll(): void {
    this.state.update((s) => ({ ...s, panel: "none", dialog: "none" }));
  }
}
