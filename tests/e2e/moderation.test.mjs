// Who speaks, who waits outside, and what holds for a room whose server was killed and started again.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join as path } from 'node:path';
import { after, before, test } from 'node:test';
import { launch } from './lib/browser.mjs';
import { inRoom, join, roomUrl, shows } from './lib/room.mjs';
import { freeTcpPort, freeUdpPort, pontoon } from './lib/server.mjs';

const stateDir = mkdtempSync(path(tmpdir(), 'pontoon-state-'));
let server, browser, base, args;

async function start() {
    server = pontoon(args, { stateDir });
    await server.line(/is ready/);
}

before(async () => {
    const [ https, http, xmpp, udp ] = [ await freeTcpPort(), await freeTcpPort(), await freeTcpPort(), await freeUdpPort() ];

    base = `https://localhost:${https}`;
    args = [ 'up', '--https', https, '--http', http, '--xmpp', xmpp, '--udp', udp, '--log', 'info' ].map(String);
    await start();
    browser = await launch();
});

after(async () => {
    await browser?.close();
    const code = await server?.stop();

    rmSync(stateDir, { recursive: true, force: true });
    assert.equal(code, 0, 'SIGTERM ends the server in order');
});

const close = (...pages) => Promise.all(pages.map(page => page.context().close()));
const notice = (page, text) => page.waitForSelector(`[data-testid=notice]:has-text("${text}")`);

/** Chooses an entry of the menu. */
async function choose(page, entry) {
    await page.click('[data-testid=more]');
    await page.click(`[data-testid=${entry}]`);
}

/** Opens the room in a page that does not get in by itself. */
async function outside(room, name) {
    const context = await browser.newContext({ ignoreHTTPSErrors: true });
    const page = await context.newPage();

    await page.goto(roomUrl(base, room, name));

    return page;
}

test('whoever speaks is marked, and it is somebody else when somebody else speaks', async () => {
    const [ ann, ben, cem ] = [
        await join(browser, base, 'speakers', 'Ann'), await join(browser, base, 'speakers', 'Ben'),
        await join(browser, base, 'speakers', 'Cem') ];
    const speaks = (page, name) => page.waitForSelector(
        `[data-testid=tile][data-local=false][data-speaking=true]:has-text("${name}")`, { timeout: 40_000 });

    // The browser's microphone beeps all the time.
    await ben.click('[data-testid=toggle-audio]');
    await cem.click('[data-testid=toggle-audio]');
    await Promise.all([ ben, cem ].map(page => speaks(page, 'Ann')));
    await ann.click('[data-testid=toggle-audio]');
    await ben.click('[data-testid=toggle-audio]');
    await Promise.all([ ann, cem ].map(page => speaks(page, 'Ben')));
    await close(ann, ben, cem);
});

test('a knock stays until it is answered, with its name, a count and two answers', async () => {
    const ann = await join(browser, base, 'waiting', 'Ann');

    await choose(ann, 'lobby');
    await ann.waitForFunction(() => globalThis.pontoon.meeting.state.get().lobby);
    const ben = await outside('waiting', 'Ben');
    const knock = '[data-testid=notice][data-key=knock]:has-text("Ben asks to join")';

    await ben.click('[data-testid=knock]');
    await ben.waitForSelector('[data-testid=knock-dialog]:has-text("Please wait")');
    await ann.waitForSelector(knock);
    await ann.waitForSelector('[data-testid=toggle-people][aria-label="People, 1; 1 asking to join"]');
    // What is said later, and for long, goes before it.
    await ann.evaluate(() => globalThis.pontoon.meeting.notices.show('said later', { important: true }));
    await notice(ann, 'said later');
    await ann.waitForSelector('[data-testid=notice]:has-text("said later")', { state: 'detached' });
    await ann.click(`${knock} >> [data-testid=knock-refuse]`);
    await ben.waitForSelector('[data-testid=knock-dialog]:has-text("You were not let in.")');
    await ann.waitForSelector('[data-testid=toggle-people][aria-label="People, 1"]');

    await ben.click('[data-testid=knock]');
    await ann.click(`${knock} >> [data-testid=knock-admit]`);
    await inRoom(ben);
    await shows(ann, [ 'Ben' ]);
    await ann.waitForSelector(knock, { state: 'detached' });
    await close(ann, ben);
});

/** Whether a moderator's page is in a room with so much set. */
const holds = (page, locked, lobby) => page.waitForFunction(
    wanted => {
        const { connection, locked: password, lobby: door } = globalThis.pontoon.meeting.state.get();

        return connection === 'joined' && password === wanted.locked && door === wanted.lobby;
    },
    { locked, lobby });

/** Enters a room alone and sets password and waiting room. */
async function guarded(room) {
    const ann = await join(browser, base, room, 'Ann');

    await choose(ann, 'lock');
    await ann.fill('[data-testid=lock-password]', 's3cret');
    await ann.click('[data-testid=lock-set]');
    await holds(ann, true, false);
    await choose(ann, 'lobby');
    await holds(ann, true, true);

    return ann;
}

/** Kills the server. */
async function kill(page) {
    await server.stop('SIGKILL');
    await page.waitForFunction(() => globalThis.pontoon.state().connection === 'reconnecting');
}

test('password and waiting room are set again by a moderator where the server has forgotten them, and the page says so', async () => {
    const ann = await guarded('forgotten');

    await kill(ann);
    rmSync(path(stateDir, 'sessions.journal'));
    await start();
    await notice(ann, 'Password and waiting room are set again.');
    await holds(ann, true, true);
    await close(ann);
});

test('password and waiting room hold after the server was killed', async () => {
    const ann = await guarded('kept');

    await kill(ann);
    await start();
    await holds(ann, true, true);

    const ben = await outside('kept', 'Ben');

    await ben.click('[data-testid=knock]');
    await ann.click('[data-testid=knock-admit]');
    await inRoom(ben);

    await choose(ann, 'lobby');
    await holds(ann, true, false);
    const cem = await outside('kept', 'Cem');

    await cem.fill('[data-testid=room-password]', 'wrong');
    await cem.click('[data-testid=room-password-join]');
    await cem.waitForSelector('[data-testid=password-dialog] [role=alert]');
    await cem.fill('[data-testid=room-password]', 's3cret');
    await cem.click('[data-testid=room-password-join]');
    await inRoom(cem);
    await close(ann, ben, cem);
});
