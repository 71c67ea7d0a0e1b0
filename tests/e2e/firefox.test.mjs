// Chromium and Firefox in one meeting, in the built-in client: both see and hear each other in each codec that both have, and
// get the layers that they ask for and that their lines carry. Firefox names its layers where Chromium numbers them.
//
// Skipped without Firefox; what needs lines needs root (network namespaces and TAP devices).

import { test } from 'node:test';
import { launch } from './lib/browser.mjs';
import { firefox, launchFirefox } from './lib/firefox.mjs';
import { createHosts } from './lib/hosts.mjs';
import { decodes, hears, join, until } from './lib/room.mjs';
import { freeTcpPort, freeUdpPort, pontoon } from './lib/server.mjs';

const CODECS = [ 'VP8', 'VP9', 'AV1', 'H264' ];
const skip = firefox ? false : 'Firefox is not installed';
const skipLines = skip || (process.getuid() === 0 ? false : 'needs root');
const PATIENCE = { timeout: 60_000 };

/** Video codecs that a browser both sends and takes. */
function ownCodecs() {
    const names = side => side.getCapabilities('video').codecs.map(({ mimeType }) => mimeType.replace('video/', ''));
    const taken = names(RTCRtpReceiver);

    return [ ...new Set(names(RTCRtpSender).filter(name => taken.includes(name))) ];
}

/** Waits until new pictures of the other one have this height and this codec. */
function gets(page, height, codec) {
    return until(page, async wanted => {
        const before = globalThis.seen;
        const { inboundVideo: [ now ] } = await globalThis.pontoon.stats();

        globalThis.seen = now;

        return now?.height === wanted.height && now.codec === wanted.codec
            && before?.ssrc === now.ssrc && now.framesDecoded > before.framesDecoded;
    }, { height, codec: `video/${codec}` }, PATIENCE);
}

/** Shows the other one large, at this height at most. */
async function enlarge(page, height) {
    await page.evaluate(most => {
        const { stage, reception } = globalThis.pontoon.meeting;

        reception.setMaxHeight(most);
        if (stage.state.get().stage === undefined) {
            document.querySelector('[data-testid=tile][data-local=false]').click();
        }
    }, height);
}

/** Enters a room that both find, the one after the other. */
async function meet(browsers, base, config) {
    const pages = [];

    for (const [ browser, name ] of browsers) {
        pages.push(await join(browser, base, 'mixed', name, { config }));
    }
    for (const page of pages) {
        await decodes(page, 1, PATIENCE);
        await hears(page, 1);
    }

    return pages;
}

for (const codec of CODECS) {
    test(`${codec} between Chromium and Firefox, both ways, at the height that is asked for`, { skip, timeout: 300_000 }, async t => {
        const browsers = [ await launch(), await launchFirefox() ];
        const [ https, http, xmpp, udp ] = [ await freeTcpPort(), await freeTcpPort(), await freeTcpPort(), await freeUdpPort() ];
        const options = [ 'up', '--https', https, '--http', http, '--xmpp', xmpp, '--udp', udp ].map(String);
        const server = pontoon(options, { env: { PONTOON_CLIENT_CODECS: codec } });

        t.after(async () => {
            await Promise.all(browsers.map(browser => browser.close()));
            await server.stop();
        });
        await server.line(new RegExp(`:${https}/`));
        const names = [ [ browsers[0], 'Chromium' ], [ browsers[1], 'Firefox' ] ];
        const pages = await meet(names, `https://localhost:${https}`, { resolution: 360 });
        const own = await Promise.all(pages.map(page => page.evaluate(ownCodecs)));
        const both = own[0].filter(name => own[1].includes(name));
        // Else one that both have.
        const sent = both.includes(codec) ? codec : CODECS.find(name => both.includes(name));

        t.diagnostic(`Firefox has ${own[1].join(', ')}`);
        for (const [ n, page ] of pages.entries()) {
            for (const height of [ 180, 360, 180, 360 ]) {
                await enlarge(page, height);
                const begun = Date.now();

                await gets(page, height, sent);
                t.diagnostic(`${names[n][1]} gets ${height}p of ${sent} after ${Date.now() - begun} ms`);
            }
        }
    });
}

for (const narrow of [ 'Firefox', 'Chromium' ]) {
    test(`${narrow} on a narrow line gets a lower layer, and the higher one when the line is free`, { skip: skipLines, timeout: 300_000 }, async t => {
        const world = createHosts([ 'meet', 'near', 'far' ], { cables: [ 'far' ], network: '203.0.113' });
        const { hosts } = world;
        const place = name => (name === narrow ? hosts.far : hosts.near);
        const chromium = process.env.CHROMIUM ?? '/usr/bin/chromium';
        const browsers = {
            Chromium: await launch({ executablePath: place('Chromium').wrapper(chromium), args: [ '--ignore-certificate-errors' ] }),
            Firefox: await launchFirefox({ host: place('Firefox') })
        };
        const server = pontoon([ 'up', '--https', '443', '--http', 'off', '--udp', '10000' ], { start: hosts.meet.spawn.bind(hosts.meet) });

        t.after(async () => {
            await Promise.all(Object.values(browsers).map(browser => browser.close()));
            await server.stop();
            world.stop();
        });
        await server.line(/https:\/\//);
        const wide = narrow === 'Firefox' ? 'Chromium' : 'Firefox';
        const [ , page ] = await meet([ [ browsers[wide], wide ], [ browsers[narrow], narrow ] ],
            `https://${hosts.meet.address}`, { resolution: 360 });
        const line = { delay_ms: 20, queue_ms: 250 };

        await enlarge(page, 360);
        await gets(page, 360, 'VP8');
        await hosts.far.cable.set({ down: { ...line, rate: 330_000 }, up: { ...line } });
        await gets(page, 180, 'VP8');
        // And goes on moving there.
        await decodes(page, 1, PATIENCE);
        await hosts.far.cable.set({ down: { ...line }, up: { ...line } });
        await gets(page, 360, 'VP8');
    });
}
