// Networks that let little through: people behind a firewall that knows no UDP, and one that lets media nowhere.
//
// Needs root (network namespaces and firewalls); skipped without.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { launch } from './lib/browser.mjs';
import { createHosts } from './lib/hosts.mjs';
import { decodes, hears, join } from './lib/room.mjs';
import { pontoon } from './lib/server.mjs';

const skip = process.getuid() === 0 ? false : 'needs root';
const hosts = () => world.hosts;
const chromium = process.env.CHROMIUM ?? '/usr/bin/chromium';

let world;

before(() => {
    if (!skip) {
        // Of public addresses: browsers connect to port 443 of private ones for pages alone.
        world = createHosts([ 'meet', 'ann', 'ben' ], { network: '203.0.113' });
        world.hosts.ann.confineToTcp(443);
        world.hosts.ben.confineToTcp(443);
    }
});

after(() => world?.stop());

/** A server on a host that lets in what `rules` say, and two people, each with a browser on a host of their own. */
async function scene(t, rules, env = {}) {
    const { meet, ann, ben } = hosts();

    meet.firewall(rules);
    const server = pontoon([ 'up', '--https', '443', '--http', 'off', '--udp', '10000', '--log', 'info' ],
        { env, start: meet.spawn.bind(meet) });
    const browsers = [];

    t.after(async () => {
        await Promise.all(browsers.map(browser => browser.close()));
        await server.stop();
        meet.openFirewall();
    });
    await server.line(/https:\/\//);
    const pages = [];

    for (const [ host, name ] of [ [ ann, 'Ann' ], [ ben, 'Ben' ] ]) {
        // The relay's certificate is looked at apart from the pages'.
        const browser = await launch({ executablePath: host.wrapper(chromium), args: [ '--ignore-certificate-errors' ] });

        browsers.push(browser);
        pages.push(await join(browser, `https://${meet.address}`, 'fort', name));
    }

    return pages;
}

/** What the packets of a page travel in, and to which port. */
function path(page) {
    return page.evaluate(async () => {
        const { pc } = globalThis.pontoon.meeting.conference.sessions.bridge.media;
        const report = await pc.getStats();
        const pairs = [ ...report.values() ].filter(({ type }) => type === 'candidate-pair');
        const used = pairs.reduce((a, b) => (a.bytesReceived > b.bytesReceived ? a : b));
        const { protocol, port } = report.get(used.remoteCandidateId);
        const { relayProtocol } = report.get(used.localCandidateId);

        return `${protocol} ${port}${relayProtocol ? ` by ${relayProtocol}` : ''}`;
    });
}

test('with 443/tcp alone open, sound and video go both ways', { skip, timeout: 180_000 }, async t => {
    const pages = await scene(t, [ 'tcp dport 443' ]);

    for (const page of pages) {
        await decodes(page, 1, { timeout: 60_000 });
        await hears(page, 1);
        assert.equal(await path(page), 'tcp 443');
        const notices = await page.evaluate(() => globalThis.pontoon.meeting.notices.list.get().map(({ text }) => text));

        assert.ok(!notices.some(text => text.includes('do not get through')), notices.join('; '));
    }
    const frames = page => page.evaluate(async () => (await globalThis.pontoon.stats()).inboundVideo[0].framesDecoded);
    const before = await Promise.all(pages.map(frames));

    await pages[0].waitForTimeout(5_000);
    const fps = (await Promise.all(pages.map(frames))).map((count, index) => (count - before[index]) / 5);

    t.diagnostic(`${fps.join(' and ')} frames a second`);
});

test('with TLS on 443 alone, sound and video go both ways through the relay', { skip, timeout: 180_000 }, async t => {
    const pages = await scene(t, [ 'tcp dport 443' ],
        { PONTOON_BRIDGE_TCP: 'off', PONTOON_FRONT_PUBLIC_URL: `https://${hosts().meet.address}` });

    for (const page of pages) {
        await decodes(page, 1, { timeout: 60_000 });
        await hears(page, 1);
        assert.equal(await path(page), 'udp 10000 by tls');
    }
});

for (const way of [ 'udp', 'tcp' ]) {
    const also = way === 'udp' ? { tcp: [ 443 ], udp: [ 3478 ] } : { tcp: [ 443, 3478 ] };

    test(`with 3478/${way} open beside the port of pages, media goes through the bridge's relay`, { skip, timeout: 180_000 }, async t => {
        const { meet, ann, ben } = hosts();

        for (const host of [ ann, ben ]) {
            host.unconfine();
            host.confine(also);
        }
        t.after(() => [ ann, ben ].forEach(host => {
            host.unconfine();
            host.confineToTcp(443);
        }));
        const pages = await scene(t, [ 'tcp dport 443', `${way} dport 3478` ], {
            PONTOON_BRIDGE_TCP: 'off',
            PONTOON_FRONT_TURN: 'false',
            PONTOON_BRIDGE_TURN: '3478',
            PONTOON_FRONT_PUBLIC_URL: `https://${meet.address}`
        });

        for (const page of pages) {
            await decodes(page, 1, { timeout: 60_000 });
            await hears(page, 1);
            assert.equal(await path(page), `udp 10000 by ${way}`);
        }
    });
}

test('where no media gets through, the page says so, why and what to do', { skip, timeout: 180_000 }, async t => {
    const pages = await scene(t, [ 'tcp dport 443' ], { PONTOON_BRIDGE_TCP: 'off', PONTOON_FRONT_TURN: 'false' });
    const notice = page => page.waitForFunction(() => globalThis.pontoon.meeting.notices.list.get()
        .map(({ text }) => text).find(text => text.includes('do not get through')), undefined, { timeout: 60_000 });

    for (const page of pages) {
        const text = await (await notice(page)).jsonValue();

        t.diagnostic(text);
        assert.match(text, /UDP port 10000 of 203\.0\.113\.1/, 'it says what is shut');
        assert.match(text, /another network/, 'and what to do');
        await page.waitForSelector(`text=${text.slice(0, 40)}`);
    }
});
