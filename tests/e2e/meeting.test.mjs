// A meeting of three through the bridge, and one of two without it, in the built-in client.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { launch } from './lib/browser.mjs';
import { decodes, hears, inRoom, isMuted, join, shows, until } from './lib/room.mjs';
import { freeTcpPort, freeUdpPort, pontoon } from './lib/server.mjs';

let server, browser, base;

before(async () => {
    const [ https, http, xmpp, udp ] = [ await freeTcpPort(), await freeTcpPort(), await freeTcpPort(), await freeUdpPort() ];

    base = `https://localhost:${https}`;
    server = pontoon([ 'up', '--https', https, '--http', http, '--xmpp', xmpp, '--udp', udp, '--log', 'info' ].map(String));
    await server.line(new RegExp(`:${https}/`));
    browser = await launch();
});

after(async () => {
    await browser?.close();
    assert.equal(await server?.stop(), 0, 'SIGTERM ends the server in order');
});

test('three people see, hear and write to each other; one leaves and comes back, one reloads', async t => {
    const names = [ 'Ann', 'Ben', 'Cem' ];
    const people = [];

    for (const name of names) {
        people.push(await join(browser, base, 'standup', name));
    }
    const [ ann, ben, cem ] = people;

    await t.test('everybody sees and hears both others', async () => {
        await Promise.all(people.map((page, n) => shows(page, names.filter((_, other) => other !== n))));
        await Promise.all(people.map(page => decodes(page, 2)));
        await Promise.all(people.map(page => hears(page, 2)));
        for (const page of people) {
            assert.equal((await page.evaluate(() => globalThis.pontoon.stats())).p2p, false, 'through the bridge');
        }
    });

    await t.test('chat arrives', async () => {
        await ann.click('[data-testid=toggle-chat]');
        await ann.fill('[data-testid=chat-input]', 'good morning');
        await ann.click('[data-testid=chat-send]');
        for (const page of [ ben, cem ]) {
            await page.click('[data-testid=toggle-chat]');
            await page.waitForSelector('[data-testid=chat-message]:has-text("good morning")');
        }
    });

    await t.test('a muted microphone and camera show', async () => {
        await ben.click('[data-testid=toggle-audio]');
        await ben.click('[data-testid=toggle-video]');
        for (const page of [ ann, cem ]) {
            await isMuted(page, 'Ben', 'audio', true);
            await isMuted(page, 'Ben', 'video', true);
        }
        await ben.click('[data-testid=toggle-audio]');
        await ben.click('[data-testid=toggle-video]');
        for (const page of [ ann, cem ]) {
            await isMuted(page, 'Ben', 'audio', false);
        }
        await decodes(ann, 2);
    });

    await t.test('one leaves and comes back', async () => {
        await cem.click('[data-testid=leave]');
        await cem.waitForSelector('[data-testid=left-page]');
        await shows(ann, [ 'Ben' ]);
        await cem.click('[data-testid=rejoin]');
        await inRoom(cem);
        await shows(ann, [ 'Ben', 'Cem' ]);
        await Promise.all(people.map(page => decodes(page, 2)));
    });

    await t.test('one reloads', async () => {
        await ben.reload();
        await inRoom(ben);
        await shows(ann, [ 'Ben', 'Cem' ]);
        await Promise.all(people.map(page => decodes(page, 2)));
    });
    await Promise.all(people.map(page => page.context().close()));
});

test('two people talk directly, and through the bridge as soon as a third comes', async () => {
    const direct = { config: { 'p2p.enabled': true } };
    const two = [ await join(browser, base, 'pair', 'Dia', direct), await join(browser, base, 'pair', 'Eli', direct) ];

    const isDirect = (page, yes) => until(
        page, async wanted => (await globalThis.pontoon.stats()).p2p === wanted, yes);

    await Promise.all(two.map(page => isDirect(page, true)));
    await Promise.all(two.map(page => decodes(page, 1)));
    const third = await join(browser, base, 'pair', 'Fay', direct);

    await Promise.all(two.map(page => isDirect(page, false)));
    await Promise.all([ ...two, third ].map(page => decodes(page, 2)));
    await Promise.all([ ...two, third ].map(page => page.context().close()));
});
