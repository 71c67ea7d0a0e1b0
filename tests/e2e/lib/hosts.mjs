// Several hosts on one machine: network namespaces on one switch, each behind its own firewall.
//
// Needs root, iproute2 and nftables. Every namespace has one interface `eth0` in one /24 and no other way out.

import { execFileSync, spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { wire } from './server.mjs';

const run = (command, args, input) =>
    execFileSync(command, args, { encoding: 'utf8', input, stdio: [ 'pipe', 'pipe', 'pipe' ] });

/** One host: a namespace, its address, its firewall and the processes started in it. */
class Host {
    constructor(prefix, name, address, processors, port) {
        this.name = name;
        this.port = port;
        this.processors = processors;
        this.address = address;
        this.namespace = `${prefix}-${name}`;
        this.processes = new Set();
    }

    /** The command and arguments that run `command` inside this host. */
    wrap(command, args = []) {
        return [ 'ip', [ 'netns', 'exec', this.namespace, command, ...args ] ];
    }

    /** Runs a command to its end and returns what it printed. */
    exec(command, args = []) {
        return run(...this.wrap(command, args));
    }

    /** Starts a process that lives until `stop` of its world, or until it is killed. */
    spawn(command, args = [], options = {}) {
        const start = [ '-c', 'mount --bind "$0" /proc/stat && exec "$@"', this.processors, command, ...args ];
        const child = spawn(...this.wrap('sh', start), options);

        this.processes.add(child);
        child.once('exit', () => this.processes.delete(child));

        return child;
    }

    /** An executable file that starts `command` in this host, for tools that take a path. */
    wrapper(command) {
        const file = join(mkdtempSync(join(tmpdir(), 'pontoon-host-')), 'run');

        writeFileSync(file, `#!/bin/sh\nexec ip netns exec ${this.namespace} ${command} "$@"\n`);
        chmodSync(file, 0o755);

        return file;
    }

    /**
     * Cuts this host off the network until `reconnect`: `drop` loses every packet without a word, `link` pulls the
     * plug, which the host sees.
     */
    disconnect(kind) {
        if (kind === 'link') {
            run('ip', [ ...this.port.slice(0, 2), 'link', 'set', this.port[2], 'down' ]);
        } else {
            run(...this.wrap('nft', [ '-f', '-' ]), `table inet cut {
    chain input { type filter hook input priority -10; policy accept; iif eth0 drop; }
    chain output { type filter hook output priority -10; policy accept; oif eth0 drop; }
}
`);
        }
    }

    /** Ends what `disconnect` of this kind began. */
    reconnect(kind) {
        if (kind === 'link') {
            run('ip', [ ...this.port.slice(0, 2), 'link', 'set', this.port[2], 'up' ]);
        } else {
            run(...this.wrap('nft', [ 'delete', 'table', 'inet', 'cut' ]));
        }
    }

    /** Lets nothing through, either way, but TCP to port `port` of others: what some offices and hotels do. */
    confineToTcp(port) {
        this.confine({ tcp: [ port ] });
    }

    /** The same for several ports, of UDP too. */
    confine(ports) {
        const accepted = end => Object.entries(ports).map(([ protocol, list ]) => `${protocol} ${end} { ${list.join(', ')} } accept;`).join(' ');

        run(...this.wrap('nft', [ '-f', '-' ]), `table inet confined {
    chain output { type filter hook output priority 0; policy drop; oif lo accept; ${accepted('dport')} }
    chain input { type filter hook input priority 0; policy drop; iif lo accept; ${accepted('sport')} }
}
`);
    }

    /** Ends what `confineToTcp` or `confine` began. */
    unconfine() {
        run(...this.wrap('nft', [ 'delete', 'table', 'inet', 'confined' ]));
    }

    /** Loses packets without a word, until `unblock`: of those that come what `input` names, of those that go `output` (nft rules). */
    block({ input, output }) {
        run(...this.wrap('nft', [ '-f', '-' ]), `table inet blocked {
    chain input { type filter hook input priority -10; policy accept; ${input} drop; }
    chain output { type filter hook output priority -10; policy accept; ${output} drop; }
}
`);
    }

    /** Ends what `block` began. */
    unblock() {
        run(...this.wrap('nft', [ 'delete', 'table', 'inet', 'blocked' ]));
    }

    /** Takes the firewall away. */
    openFirewall() {
        run(...this.wrap('nft', [ 'delete', 'table', 'inet', 'guard' ]));
    }

    /** Gives this host another address instead of the one it has: what went from the old one goes nowhere any more. */
    moveTo(address) {
        const link = [ 'dev', 'eth0' ];
        const route = [ 'default', 'via', address.replace(/\d+$/, '254'), ...link, 'onlink' ];
        const ip = (...args) => run('ip', [ '-n', this.namespace, ...args ]);

        ip('address', 'add', `${address}/32`, ...link);
        ip('address', 'delete', `${this.address}/24`, ...link);
        // Of the network, too, and not only beside the old one.
        ip('address', 'delete', `${address}/32`, ...link);
        ip('address', 'add', `${address}/24`, ...link);
        ip('route', 'replace', ...route);
        this.address = address;
    }

    /** Lets in only what `rules` accept (nft rule bodies of the input chain), besides replies and loopback. */
    firewall(rules) {
        const accepted = rules.map(rule => `        ${rule} counter accept`).join('\n');

        run(...this.wrap('nft', [ '-f', '-' ]), `table inet guard {
    chain input {
        type filter hook input priority 0; policy drop;
        iif lo accept
        ct state established,related accept
        meta l4proto { icmp, ipv6-icmp } accept
${accepted}
        counter
    }
}
`);
    }
}

/** The cable of a host as a network model: rate, queue, delay, jitter, loss, each way (see the program `wire`). */
class Cable {
    constructor(child) {
        this.child = child;
        this.answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    }

    /**
     * Sets what the cable does: `down` towards the host, `up` from it; what is not named does nothing. Returns what
     * became of the frames so far, each way.
     */
    async set(order) {
        this.child.stdin.write(`${JSON.stringify(order)}\n`);
        const { value } = await this.answers.next();

        return JSON.parse(value);
    }

    /** What became of the frames so far, each way. */
    counts() {
        return this.set({});
    }
}

/** Makes the two ends of a cable, one in the switch and one for the host to be. */
function layCable(port, namespace) {
    const far = `far-${port}`;
    // A cable carries on time, however busy the machine is.
    const child = spawn('ip', [ 'netns', 'exec', namespace, 'nice', '-n', '-20', wire, port, far ], { stdio: [ 'pipe', 'pipe', 'inherit' ] });

    run('timeout', [ '10', 'sh', '-c', `until ip -n ${namespace} link show ${far} > /dev/null 2>&1; do :; done` ]);

    return { cable: new Cable(child), far };
}

/**
 * Makes the hosts named and the switch between them, in the /24 that begins with `network`; those of `cables` get one
 * with a network model in it.
 */
export function createHosts(names, { cables = [], network = '10.73.0' } = {}) {
    const prefix = `pt${process.pid}`;
    const switchNamespace = `${prefix}-switch`;
    const hosts = {};
    const processors = join(mkdtempSync(join(tmpdir(), 'pontoon-hosts-')), 'stat');

    // A host has processors of its own: what the browsers do to this machine's is no load of a bridge elsewhere.
    writeFileSync(processors, 'cpu  0 0 0 1 0 0 0 0 0 0\n');
    run('ip', [ 'netns', 'add', switchNamespace ]);
    const inSwitch = (...args) => run('ip', [ '-n', switchNamespace, ...args ]);

    inSwitch('link', 'add', 'br0', 'type', 'bridge');
    inSwitch('link', 'set', 'br0', 'up');

    names.forEach((name, index) => {
        const port = `port${index}`;
        const host = new Host(prefix, name, `${network}.${index + 1}`, processors, [ '-n', switchNamespace, port ]);

        run('ip', [ 'netns', 'add', host.namespace ]);
        if (cables.includes(name)) {
            const { cable, far } = layCable(port, switchNamespace);

            host.cable = cable;
            inSwitch('link', 'set', far, 'netns', host.namespace, 'name', 'eth0');
        } else {
            inSwitch('link', 'add', port, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', host.namespace);
        }
        inSwitch('link', 'set', port, 'master', 'br0', 'up');
        const inHost = (...args) => run('ip', [ '-n', host.namespace, ...args ]);

        inHost('link', 'set', 'lo', 'up');
        inHost('address', 'add', `${host.address}/24`, 'dev', 'eth0');
        // No address that appears by itself a second later: a browser drops what it loads when its network changes.
        inHost('link', 'set', 'eth0', 'addrgenmode', 'none');
        inHost('link', 'set', 'eth0', 'up');
        inHost('route', 'add', 'default', 'via', `${network}.254`, 'dev', 'eth0', 'onlink');
        hosts[name] = host;
    });

    return {
        hosts,
        stop() {
            for (const host of Object.values(hosts)) {
                for (const child of host.processes) {
                    child.kill('SIGKILL');
                }
                host.cable?.child.kill('SIGKILL');
                run('ip', [ 'netns', 'delete', host.namespace ]);
            }
            run('ip', [ 'netns', 'delete', switchNamespace ]);
        }
    };
}
