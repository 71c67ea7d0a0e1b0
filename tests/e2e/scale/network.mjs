// The network of the reference installation: a meet node, bridges and people on hosts of their own, with the guide's firewall.

import { createHosts } from '../lib/hosts.mjs';

/** The name under which people know the installation. */
export const DOMAIN = 'meet.example.com';

/** Bridges at the beginning, and the one that is added while meetings run. */
export const BRIDGES = [ 'bridge1', 'bridge2', 'bridge3' ];
export const FURTHER = 'bridge4';

/** Makes the hosts. Open are: 80 and 443/tcp of the meet node, 5222/tcp for bridges alone; 443/tcp and 10000/udp of bridges. */
export function createNetwork() {
    const bridges = [ ...BRIDGES, FURTHER ];
    const world = createHosts([ 'meet', ...bridges, 'people' ], { network: '10.78.0' });
    const { hosts } = world;
    const addresses = bridges.map(name => hosts[name].address).join(', ');

    hosts.meet.firewall([ 'tcp dport { 80, 443 }', `ip saddr { ${addresses} } tcp dport 5222` ]);
    bridges.forEach(name => hosts[name].firewall([ 'udp dport 10000', 'tcp dport 443' ]));
    hosts.people.firewall([]);

    return world;
}

/** Whether one host can open a TCP connection to another one. */
export function reaches(from, to, port, seconds = 10) {
    try {
        from.exec('timeout', [ String(seconds), 'bash', '-c', `exec 3<>/dev/tcp/${to.address}/${port}` ]);

        return true;
    } catch {
        return false;
    }
}
