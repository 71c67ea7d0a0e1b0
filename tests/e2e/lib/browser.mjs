// Chromium with fake devices, one participant a page.

import { chromium } from 'playwright-core';

const ARGS = [
    '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync', '--use-fake-ui-for-media-stream', '--use-fake-device-for-media-stream',
    '--autoplay-policy=no-user-gesture-required', '--auto-select-desktop-capture-source=Entire screen',
    '--disable-renderer-backgrounding', '--disable-background-timer-throttling', '--disable-backgrounding-occluded-windows'
];

/** Starts a browser; `executablePath` may point at a wrapper that places it on another host. */
export function launch({ executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium', args = [], env } = {}) {
    return chromium.launch({ executablePath, args: [ ...ARGS, ...args ], env, headless: true });
}
