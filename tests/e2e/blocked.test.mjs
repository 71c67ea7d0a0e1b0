// Networks that let little through: people behind a firewall that knows no UDP, and one that lets media nowhere.
//
// Needs root (network namespaces and firewalls); skipped without.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { launch } from './lib/browser.mjs';
import { createHosts } from './lib/hosts.mjs';
import { join } from './lib/room.mjs';
import { pontoon } from './lib/server.mjs';

const skip = process.getuid() === 0 ? false : 'needs root';
const hosts = () => world.hosts;
const chromium = process.env.CHROMIUM ?? '/usr/bin/chromium';

let world;

before(() => {
    if (!skip) {
        world = createHosts([ 'meet', 'people' ]);
    }
});

after(() => world?.stop());

/** A server on the host that lets in what `rules` say, and a browser on the other one. */
async function scene(t, rules, args = []) {
    const { meet, people } = hosts();

    meet.firewall(rules);
    const server = pontoon([ 'up', '--https', '443', '--http', 'off', '--udp', '10000', ...args ],
        { start: meet.spawn.bind(meet) });

    await server.line(/https:\/\//);
    const browser = await launch({ executablePath: people.wrapper(chromium) });

    t.after(async () => {
        await browser.close();
        await server.stop();
        meet.openFirewall();
    });

    return name => join(browser, `https://${meet.address}`, 'fort', name);
}

test('where no media gets through, the page says so, why and what to do', { skip, timeout: 180_000 }, async t => {
    const enter = await scene(t, [ 'tcp dport 443' ]);
    const pages = [ await enter('Ann'), await enter('Ben') ];
    const notice = page => page.waitForFunction(() => globalThis.pontoon.meeting.notices.list.get()
        .map(({ text }) => text).find(text => text.includes('do not get through')), undefined, { timeout: 60_000 });

    for (const page of pages) {
        const text = await (await notice(page)).jsonValue();

        t.diagnostic(text);
        assert.match(text, /UDP port 10000 of 10\.73\.0\.1/, 'it says what is shut');
        assert.match(text, /another network/, 'and what to do');
        await page.waitForSelector(`text=${text.slice(0, 40)}`);
    }
});
