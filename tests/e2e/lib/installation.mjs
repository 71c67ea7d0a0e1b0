// A meet node and two bridges behind firewalls, and people on a host of their own.

import { launch } from './browser.mjs';
import { createHosts } from './hosts.mjs';
import { pontoon } from './server.mjs';

/** Starts all of it; `stop` ends it. `meet`: further options of the meet node; `args`: of the browser. */
export async function install({ meet: options = [], args } = {}) {
    const world = createHosts([ 'meet', 'bridge1', 'bridge2', 'people' ]);
    const { hosts } = world;
    const bridges = {};

    hosts.meet.firewall([
        'tcp dport { 80, 443 }',
        `ip saddr { ${hosts.bridge1.address}, ${hosts.bridge2.address} } tcp dport 5222`
    ]);
    hosts.bridge1.firewall([ 'udp dport 10000' ]);
    hosts.bridge2.firewall([ 'udp dport 10000' ]);
    hosts.people.firewall([]);
    // At debug the log says by which word a room is called.
    const meet = pontoon([ 'meet', '--log', 'info,focus=debug', ...options ], { start: hosts.meet.spawn.bind(hosts.meet) });
    const [ , token ] = await meet.line(/pontoon bridge --join (\S+)/);

    for (const name of [ 'bridge1', 'bridge2' ]) {
        const start = hosts[name].spawn.bind(hosts[name]);

        bridges[name] = pontoon([ 'bridge', '--join', token, '--log', 'info' ], { start });
        await bridges[name].line(/is ready/);
        await bridges[name].line(/joined the brewery/);
    }
    const browser = await launch({ ...args && { args }, executablePath: hosts.people.wrapper(process.env.CHROMIUM ?? '/usr/bin/chromium') });

    async function stop() {
        await browser.close();
        for (const process of [ ...Object.values(bridges), meet ]) {
            if (process.child.exitCode === null && process.child.signalCode === null) {
                await process.stop();
            }
        }
        world.stop();
    }

    return { world, browser, meet, bridges, stop };
}
