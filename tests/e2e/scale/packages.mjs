// The reference installation from packages: each host is a machine with a root of its own, booted with systemd, on which the
// packages are installed by preseed lines, those of Jitsi's guide among them.

import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { binary } from '../lib/server.mjs';
import { DOMAIN } from './network.mjs';

const SCRIPT = fileURLToPath(new URL('../../../scripts/machines.sh', import.meta.url));
const ROOTS = fileURLToPath(new URL('../../../target/deb/scale', import.meta.url));

/** The guide's lines for a meet node without a bridge. */
const GUIDE = `jitsi-videobridge jitsi-videobridge/jvb-hostname string ${DOMAIN}
jitsi-meet jitsi-meet/jvb-serve boolean false
jitsi-meet-prosody jitsi-videobridge/jvb-hostname string ${DOMAIN}
jitsi-meet-prosody jitsi-meet-prosody/jvb-hostname string ${DOMAIN}
jitsi-meet-web-config jitsi-videobridge/jvb-hostname string ${DOMAIN}
jitsi-meet-web-config jitsi-meet/cert-choice select Generate a new self-signed certificate
jitsi-meet-web-config jitsi-meet/jaas-choice boolean false
`;

/** All machines share the processors of this one, and what others make of them is no load of a bridge. */
const OWN_PROCESSORS = `[Service]
BindReadOnlyPaths=/var/lib/processors:/proc/stat
`;

/** Runs a function of the script. */
function machines(args, input) {
    return execFileSync(SCRIPT, args, {
        encoding: 'utf8', input, maxBuffer: 1 << 26, env: { ...process.env, MACHINES: ROOTS }, stdio: [ 'pipe', 'pipe', 'inherit' ]
    });
}

/** A service on a machine of its own. */
class Part {
    constructor(host, service) {
        this.host = host;
        this.service = service;
    }

    /** Runs a command on the machine; what it prints. */
    run(args, input) {
        return machines([ 'in_root', this.host.name, ...args ], input);
    }

    boot(hosts) {
        machines([ 'boot', this.host.name, this.host.namespace, hosts ]);
    }

    install(version) {
        machines([ 'install_on', this.host.name, this.service, version ]);
    }

    log() {
        return this.run([ 'journalctl', '--unit', this.service, '--no-pager', '--output', 'cat' ]).split('\n');
    }

    /** A command of the operator. */
    command(...args) {
        return this.run([ 'pontoon', ...args, '--config', `/etc/pontoon/${this.service.replace('pontoon-', '')}.debconf.toml` ]);
    }

    /** Processor time it took so far, in milliseconds. */
    cpu() {
        return Number(this.run([ 'systemctl', 'show', '--value', '--property=CPUUsageNSec', this.service ])) / 1e6;
    }

    signal(name) {
        this.run([ 'systemctl', 'kill', '--kill-whom=main', `--signal=${name}`, this.service ]);
    }

    kill() {
        this.signal('SIGKILL');
    }

    /** systemd starts what was killed. */
    back() {
        // There is nothing to do.
    }

    start() {
        this.run([ 'systemctl', 'start', this.service ]);
    }

    /** Ends it in order, or waits for the end that it was told. */
    end() {
        this.run([ 'systemctl', 'stop', this.service ]);
    }

    restart() {
        this.run([ 'systemctl', 'restart', this.service ]);
    }

    upgrade() {
        this.install(this.next);
    }
}

/** The installation of packages; parts by their names. */
export class Packages {
    /** What this machine lacks for it, in words. */
    static lack() {
        return execFileSync(SCRIPT, [ 'lack' ], { encoding: 'utf8' }).trim();
    }

    constructor(network) {
        this.hosts = network.hosts;
        this.parts = {};
        [ this.version, this.next ] = machines([ 'pack', binary ]).trim().split(' ');
        machines([ 'prepare' ]);
    }

    /** A machine that runs, with nothing of ours on it. */
    #machine(name, service) {
        const part = new Part(this.hosts[name], service);

        part.next = this.next;
        part.boot(`${this.hosts.meet.address} ${DOMAIN}`);
        this.parts[name] = part;

        return part;
    }

    startMeet() {
        const meet = this.#machine('meet', 'pontoon-meet');

        meet.run([ 'debconf-set-selections' ], GUIDE);
        meet.install(this.version);
    }

    /** Another setting of the meet node. */
    set(key, value) {
        const name = key.toUpperCase().replaceAll('.', '_');
        const folder = '/etc/systemd/system/pontoon-meet.service.d';

        this.parts.meet.run(
            [ 'sh', '-c', `mkdir -p ${folder} && cat > ${folder}/${name}.conf` ], `[Service]\nEnvironment=PONTOON_${name}=${value}\n`);
        this.parts.meet.run([ 'systemctl', 'daemon-reload' ]);
        this.parts.meet.restart();
    }

    startBridge(name) {
        const line = this.parts.meet.command('token', 'bridge', name);
        const bridge = this.#machine(name, 'pontoon-bridge');

        bridge.run([ 'sh', '-c', 'mkdir -p /etc/systemd/system/pontoon-bridge.service.d && cat > /etc/systemd/system/'
            + 'pontoon-bridge.service.d/processors.conf && echo "cpu  0 0 0 1 0 0 0 0 0 0" > /var/lib/processors' ], OWN_PROCESSORS);
        bridge.run([ 'debconf-set-selections' ], `pontoon-bridge pontoon-bridge/token password ${line}`);
        bridge.install(this.version);
    }

    stop() {
        machines([ 'end_all' ]);
    }
}
