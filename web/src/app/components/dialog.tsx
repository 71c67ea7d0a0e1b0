// The one dialog: over everything, keeps the focus inside, closes on Escape, gives the focus back.

import type { ComponentChildren, JSX } from "preact";
import { useId, useLayoutEffect, useRef } from "preact/hooks";
import { texts } from "../../model/texts";
import { cover } from "../covers";
import { focusOr } from "../focus";
import { Icon } from "../icons";

export interface DialogProps {
  readonly title: string;
  readonly testid: string;
  readonly onClose: () => void;
  readonly children: ComponentChildren;
}

/** An element with `data-autofocus` inside gets the focus first. */
export function Dialog({ title, testid, onClose, children }: DialogProps): JSX.Element {
  const ref = useRef<HTMLDialogElement>(null);
  const heading = useId();
  useLayoutEffect(() => {
    const dialog = ref.current;
    const before = document.activeElement;
    // The native element makes everything else inert; so it is closed before the focus can go back.
    dialog?.showModal();
    dialog?.querySelector<HTMLElement>("[data-autofocus]")?.focus();
    const uncover = dialog === null ? undefined : cover(dialog);
    return () => {
      uncover?.();
      dialog?.close();
      focusOr(before, ".room, main");
    };
  }, []);
  return (
    <dialog
      ref={ref}
      class="dialog"
      aria-labelledby={heading}
      data-testid={testid}
      onCancel={(event) => {
        event.preventDefault();
        onClose();
      }}
    >
      <header class="panel-head">
        <h2 id={heading}>{title}</h2>
        <button type="button" class="icon-button" aria-label={texts.close} onClick={onClose}>
          <Icon name="close" size={20} />
        </button>
      </header>
      {children}
    </dialog>
  );
}
