// The meet node ends and is started again, is killed, and is away for a while, with people in a meeting: their pages stay as they
// are, pictures move on, and what holds in the room holds afterwards. AWAY=600 has it away for longer.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join as path } from 'node:path';
import { after, before, test } from 'node:test';
import { launch } from './lib/browser.mjs';
import { longestGap, observe, story } from './lib/gaps.mjs';
import { decodes, inRoom, join, roomUrl, until } from './lib/room.mjs';
import { freeTcpPort, freeUdpPort, pontoon } from './lib/server.mjs';

/** How the meet node ends, and for how many seconds it is away. */
const ROUNDS = [ [ 'SIGTERM', 0 ], [ 'SIGKILL', 0 ], [ 'SIGKILL', Number(process.env.AWAY ?? 12) ] ];

const stateDir = mkdtempSync(path(tmpdir(), 'pontoon-state-'));
let meet, bridge, browser, base, args;

async function start() {
    meet = pontoon(args, { stateDir });
    const [ , token ] = await meet.line(/pontoon bridge --join (\S+)/);

    return token;
}

before(async () => {
    const [ https, xmpp, udp ] = [ await freeTcpPort(), await freeTcpPort(), await freeUdpPort() ];

    base = `https://localhost:${https}`;
    args = [ 'meet', '--domain', 'meet.example.com', '--http', 'off', '--https', https, '--xmpp', `127.0.0.1:${xmpp}`, '--log', 'info' ]
        .map(String);
    bridge = pontoon([ 'bridge', '--udp', String(udp), '--join', await start(), '--log', 'info' ]);
    await bridge.line(/joined the brewery/);
    browser = await launch();
});

after(async () => {
    await browser?.close();
    await bridge?.stop();
    await meet?.stop();
    rmSync(stateDir, { recursive: true, force: true });
});

/** In the page, once it is in the room: notes the states that its connection and its media are in from now on. */
function noteStates() {
    const { meeting } = globalThis.pontoon;

    globalThis.samePage = true;
    globalThis.connections = new Set();
    globalThis.medias = new Set();
    meeting.state.subscribe(() => {
        const { connection, media } = meeting.state.get();

        globalThis.connections.add(connection);
        globalThis.medias.add(media);
    });
}

/** What a page shows of the room: who is there in which role, who is muted, what was said, what holds. */
const shown = page => page.evaluate(() => {
    const { meeting } = globalThis.pontoon;
    const { people, moderator, locked, lobby } = meeting.state.get();
    const all = people.map(person => `${person.name}: ${person.moderator ? 'moderator' : 'member'}, microphone ${
        person.audioMuted ? 'off' : 'on'}, camera ${person.videoMuted ? 'off' : 'on'}`);

    return { people: all.sort(), moderator, locked, lobby, said: meeting.chat.state.get().entries.map(({ text }) => text) };
});

/** Waits until a page shows this. */
async function shows(page, wanted, what) {
    const right = JSON.stringify(wanted);

    for (let tries = 0; tries < 100 && JSON.stringify(await shown(page)) !== right; tries++) {
        await page.waitForTimeout(200);
    }
    assert.deepEqual(await shown(page), wanted, what);
}

async function say(page, text) {
    await page.fill('[data-testid=chat-input]', text);
    await page.click('[data-testid=chat-send]');
}

/** Opens the room in a page that does not get in by itself. */
async function outside(name) {
    const page = await (await browser.newContext({ ignoreHTTPSErrors: true })).newPage();

    await page.goto(roomUrl(base, 'board', name));

    return page;
}

/** Three people, of whom two may moderate; one is muted, the camera of another was stopped; the door is locked and guarded. */
async function gather() {
    const pages = [];

    for (const name of [ 'Ann', 'Ben', 'Cem' ]) {
        pages.push(await join(browser, base, 'board', name, { init: observe }));
    }
    const [ ann, ben, cem ] = pages;
    const id = page => page.evaluate(() => globalThis.pontoon.meeting.conference.endpointId);
    const as = (page, order, ...more) => page.evaluate(
        ([ name, list ]) => globalThis.pontoon.meeting.moderation[name](...list), [ order, more ]);

    await Promise.all(pages.map(page => decodes(page, 2)));
    await as(ann, 'grantModerator', await id(ben));
    await as(ann, 'mutePerson', await id(cem), 'video');
    await ben.click('[data-testid=toggle-audio]');
    await as(ann, 'lock', 's3cret');
    await as(ann, 'setLobbyEnabled', true);
    for (const page of pages) {
        await page.click('[data-testid=toggle-chat]');
    }
    const people = [ 'Ann: moderator, microphone on, camera on', 'Ben: moderator, microphone off, camera on',
        'Cem: member, microphone on, camera off' ];
    const all = { people, moderator: true, locked: true, lobby: true, said: [] };

    await Promise.all(pages.map(page => shows(page, { ...all, moderator: page !== cem }, 'at first')));
    await Promise.all(pages.map(page => page.evaluate(noteStates)));

    return pages;
}

test('a meet node that comes back finds its meetings as they were, and people notice nothing', { timeout: 1_200_000 }, async t => {
    const pages = await gather();
    const [ ann, ben, cem ] = pages;
    const said = [];

    for (const [ n, [ signal, away ] ] of ROUNDS.entries()) {
        const what = `${signal}, ${away} s away`;

        said.push(`said by Ann, ${n}`, `said by Cem, ${n}`);
        await say(ann, said.at(-2));
        await shows(cem, { ...await shown(cem), said: said.slice(0, -1) }, what);
        await say(cem, said.at(-1));
        await Promise.all(pages.map(async page => shows(page, { ...await shown(page), said }, what)));
        const before = await Promise.all(pages.map(shown));
        const from = Date.now();

        await Promise.all(pages.map(page => page.evaluate(() => {
            globalThis.connections.clear();
            globalThis.medias.clear();
        })));
        await meet.stop(signal);
        if (away > 0) {
            await ann.waitForTimeout(away * 1000);
            // The bridge forwards on, without anybody who could tell it to.
            await Promise.all(pages.map(page => decodes(page, 1)));
        }
        await start();
        const started = Date.now();
        const fresh = await join(browser, base, `fresh-${n}`, 'Eva');

        t.diagnostic(`${what}: somebody was in a new room ${Date.now() - started} ms after the start, loading of the page included`);
        await fresh.context().close();
        await Promise.all(pages.map(page => until(page, () => globalThis.connections.has('reconnecting')
            && globalThis.pontoon.state().connection === 'joined')));
        t.diagnostic(`${what}: all were back ${Date.now() - started} ms after the start`);
        await Promise.all(pages.map((page, who) => shows(page, before[who], what)));
        await Promise.all(pages.map(page => decodes(page, 1)));
        const gaps = await Promise.all(pages.map(page => longestGap(page, from)));

        t.diagnostic(`${what}: longest times without a new picture ${gaps.join(', ')} ms`);
        for (const page of pages) {
            assert.ok(await page.evaluate(() => globalThis.samePage), 'no page was loaded again');
            assert.deepEqual(await page.evaluate(() => [ ...globalThis.medias ].filter(media => media !== 'connected')), [], what);
            assert.doesNotMatch(await story(page, from), /ICE/, `nobody has another connection to the bridge after ${what}`);
        }

        // Whoever comes has to knock, as before, and reads what was said before.
        const dia = await outside('Dia');

        await dia.click('[data-testid=knock]');
        await (n % 2 ? ben : ann).click('[data-testid=knock-admit]');
        await inRoom(dia);
        const { people } = before[0];

        await shows(dia, { people: [ ...people, 'Dia: member, microphone on, camera on' ].sort(), moderator: false, locked: true,
            lobby: true, said }, what);
        await decodes(dia, 2, { sound: false });
        await dia.context().close();
        await shows(ann, before[0], `after Dia left, ${what}`);
    }

    // The password is the one of before.
    await ben.evaluate(() => globalThis.pontoon.meeting.moderation.setLobbyEnabled(false));
    await until(ann, () => !globalThis.pontoon.meeting.state.get().lobby);
    const eli = await outside('Eli');

    await eli.fill('[data-testid=room-password]', 'wrong');
    await eli.click('[data-testid=room-password-join]');
    await eli.waitForSelector('[data-testid=password-dialog] [role=alert]');
    await eli.fill('[data-testid=room-password]', 's3cret');
    await eli.click('[data-testid=room-password-join]');
    await inRoom(eli);
    await Promise.all([ ...pages, eli ].map(page => page.context().close()));
});
