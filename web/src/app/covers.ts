// What covers the page while everything beneath is out of reach: dialogs, and sheets where there is no room beside. The
// toasts lie over all of them, so they are moved into the uppermost.

const covers: Element[] = [];
let toasts: Element | undefined;

function place(): void {
  if (toasts !== undefined) (covers.at(-1) ?? document.body).append(toasts);
}

/** Puts the element that holds the toasts over the page. */
export function placeToasts(element: Element): void {
  toasts = element;
  place();
}

/** What covers the page now. */
export function uppermost(): Element | undefined {
  return covers.at(-1);
}

/** To be called when something begins to cover the page. Returns what is to be called when it ends. */
export function cover(element: Element): () => void {
  covers.push(element);
  place();
  return () => {
    covers.splice(covers.indexOf(element), 1);
    place();
  };
}
