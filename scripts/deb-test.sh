#!/bin/bash
# Installs the Debian packages in roots and network namespaces of their own, by the preseed lines of Jitsi's guide, and runs the
# reference installation there: a meet node and three bridges, each behind a firewall that opens the guide's ports alone.
#   scripts/deb-test.sh target/debug/pontoon
# Every step says what it did; the last line counts. KEEP=1 leaves roots and namespaces behind.
set -euo pipefail
. "$(dirname "$0")/machines.sh"
program=$1

lacking=$(lack)
if [ -n "$lacking" ]; then
    echo "deb-test: skipped: $lacking"
    exit 0
fi

prefix=pdeb$$
passed=0
host=meet.example.com

pass() {
    passed=$((passed + 1))
    echo "ok $passed - $1"
}

cleanup() {
    [ -z "${KEEP:-}" ] || return 0
    end_all
    for name in meet bridge1 bridge2 bridge3 switch; do
        ip netns delete "$prefix-$name" 2> /dev/null || true
    done
}
trap cleanup EXIT

# --- packages ------------------------------------------------------------------------------------------------------------------
read -r version next <<< "$(pack "$program")"
pass 'the packages are built, in two versions'
lintian --fail-on error,warning --suppress-tags "${LINTIAN_SUPPRESS:-initial-upload-closes-no-bugs}" "$deb"/*_"$version"_*.deb
pass 'lintian finds no error and no warning'

# --- roots ---------------------------------------------------------------------------------------------------------------------
prepare

# make_root NAME ADDRESS RULES...: a machine that runs, at an address of the switch; its firewall lets in this and nothing else.
make_root() {
    local name=$1 address=$2
    shift 2
    ip netns add "$prefix-$name"
    ip -n "$prefix-$name" link set lo up
    ip -n "$prefix-switch" link add "$name" type veth peer name eth0 netns "$prefix-$name"
    ip -n "$prefix-switch" link set "$name" master switch up
    ip -n "$prefix-$name" address add "$address/24" dev eth0
    ip -n "$prefix-$name" link set eth0 up
    ip netns exec "$prefix-$name" nft -f - << END
table inet guide {
    chain input {
        type filter hook input priority 0; policy drop;
        iif lo accept
        ct state established,related accept
        meta l4proto { icmp, ipv6-icmp } accept
        $(printf '%s accept\n' "$@")
    }
}
END
    boot "$name" "$prefix-$name" "10.77.0.1 $host"
}

ip netns add "$prefix-switch"
ip -n "$prefix-switch" link add switch type bridge
ip -n "$prefix-switch" link set switch up
make_root meet 10.77.0.1 'tcp dport { 80, 443 }' 'ip saddr { 10.77.0.11, 10.77.0.12, 10.77.0.13 } tcp dport 5222'
for number in 1 2 3; do
    make_root "bridge$number" "10.77.0.1$number" 'udp dport 10000' 'tcp dport 443'
done
pass 'four machines with the firewall of the guide'

log() { # log NAME SERVICE
    in_root "$1" journalctl --unit "$2" --no-pager --output cat
}
says() { # says NAME SERVICE WORDS [TIMES]: the service's log has them so often within a minute
    for _ in $(seq 300); do
        [ "$(log "$1" "$2" | grep -cF -- "$3")" -lt "${4:-1}" ] || return 0
        sleep 0.2
    done
    log "$1" "$2" | tail -n 40 >&2
    fail "$2 on $1 says \"$3\""
}
has() { # has NAME FILE WORDS
    in_root "$1" grep -qF -- "$3" "$2" || {
        in_root "$1" cat "$2" >&2
        fail "$2 on $1 has \"$3\""
    }
}

# --- the meet node, by the guide's lines ---------------------------------------------------------------------------------------
in_root meet openssl req -x509 -newkey rsa:2048 -nodes -days 90 -subj "/CN=$host" -addext "subjectAltName=DNS:$host" \
    -keyout "/etc/ssl/$host.key" -out "/etc/ssl/$host.crt" 2> /dev/null
[ "$(in_root meet stat -c %a "/etc/ssl/$host.key")" = 600 ] || fail 'the key is for root alone'
in_root meet cat "/etc/ssl/$host.crt" > "$roots/own.crt"
in_root meet debconf-set-selections << END
jitsi-videobridge jitsi-videobridge/jvb-hostname string $host
jitsi-meet jitsi-meet/jvb-serve boolean false
jitsi-meet-prosody jitsi-videobridge/jvb-hostname string $host
jitsi-meet-prosody jitsi-meet-prosody/jvb-hostname string $host
jitsi-meet-web-config jitsi-videobridge/jvb-hostname string $host
jitsi-meet-web-config jitsi-meet/cert-choice select I want to use my own certificate
jitsi-meet-web-config jitsi-meet/cert-path-crt string /etc/ssl/$host.crt
jitsi-meet-web-config jitsi-meet/cert-path-key string /etc/ssl/$host.key
jitsi-meet-web-config jitsi-meet/jaas-choice boolean false
END
install_on meet pontoon-meet "$version"
has meet /etc/pontoon/meet.debconf.toml "domain = \"$host\""
has meet /etc/pontoon/meet.debconf.toml "public_url = \"https://$host\""
has meet /etc/pontoon/meet.certificate "/etc/ssl/$host.crt"
pass "the meet node takes the guide's preseed lines"
in_root meet systemctl is-active --quiet pontoon-meet || fail "the service runs: $(log meet pontoon-meet)"
in_root bridge1 curl --silent --show-error --fail --cacert /dev/stdin "https://$host/config.js" \
    < "$roots/own.crt" | grep -q "$host" || fail 'the page comes with the certificate that only root may read'
in_root bridge1 curl --silent --output /dev/null --write-out '%{redirect_url}' "http://$host/room" | grep -qx "https://$host/room" \
    || fail 'port 80 leads to HTTPS'
pass 'pages come with the own certificate, whose key root alone can read'

# --- bridges -------------------------------------------------------------------------------------------------------------------
for number in 1 2 3; do
    name=bridge$number
    token=$(in_root meet pontoon token bridge "$name")
    case "$token" in
        "pontoon bridge --join $host:5222/$host/$name:"*) ;;
        *) fail "a token has the meet node's name: $token" ;;
    esac
    if [ "$number" = 1 ]; then
        # Without a token first: it is skipped, and says what it needs.
        echo "jitsi-videobridge jitsi-videobridge/jvb-hostname string $host" | in_root "$name" debconf-set-selections
        install_on "$name" pontoon-bridge "$version"
        grep -q 'pontoon token bridge NAME' "$roots/$name.log" || fail 'a bridge without a token says what it needs'
        ! in_root "$name" systemctl is-active --quiet pontoon-bridge || fail 'a bridge without a token is not started'
        ! in_root "$name" systemctl is-failed --quiet pontoon-bridge || fail 'nor does it count as failed'
        pass 'a bridge without a token is installed and says what it needs'
        echo "$token" | in_root "$name" sh -c 'cat > /etc/pontoon/bridge-token'
        in_root "$name" systemctl start pontoon-bridge
    else
        echo "pontoon-bridge pontoon-bridge/token password $token" | in_root "$name" debconf-set-selections
        install_on "$name" pontoon-bridge "$version"
        ! in_root "$name" grep -rqF "${token##*/}" /var/cache/debconf || fail 'the token does not stay in the database of answers'
    fi
    mode=$(in_root "$name" stat -c %a:%U /etc/pontoon/bridge-token)
    [ "$mode" = 600:pontoon ] || fail "the token is for the service alone: $mode"
    says "$name" pontoon-bridge 'is ready'
    in_root "$name" systemctl status pontoon-bridge | grep -q "attached to $host:5222" || fail 'systemctl status says so'
done
pass 'three bridges are attached through the firewall, each with a credential of its own'
for number in 1 2 3; do
    in_root meet pontoon token list | grep -q "^bridge$number " || fail "bridge$number is listed"
done
pass 'the meet node lists them'

# --- a revoked bridge, and the line that brings it back ------------------------------------------------------------------------
in_root meet pontoon token revoke bridge3 > /dev/null
says bridge3 pontoon-bridge 'does not let bridge3@'
pass 'a revoked bridge says who refused it'
in_root meet pontoon token bridge bridge3 | in_root bridge3 sh -c 'cat > /etc/pontoon/bridge-token'
in_root bridge3 systemctl reload pontoon-bridge
says bridge3 pontoon-bridge 'joined the brewery' 2
pass 'a new line is taken up by a reload'

# --- reconfigure, upgrade, remove, purge ---------------------------------------------------------------------------------------
echo '# Mine.' | in_root meet sh -c 'cat >> /etc/pontoon/meet.toml'
openssl req -x509 -newkey rsa:2048 -nodes -days 90 -subj "/CN=$host" -addext "subjectAltName=DNS:$host" \
    -keyout "$roots/new.key" -out "$roots/new.crt" 2> /dev/null
in_root meet sh -c "cat > /etc/ssl/$host.key" < "$roots/new.key"
in_root meet sh -c "cat > /etc/ssl/$host.crt" < "$roots/new.crt"
in_root meet systemctl reload pontoon-meet
says meet pontoon-meet 'is another one now'
in_root bridge1 curl --silent --fail --output /dev/null --cacert /dev/stdin "https://$host/" < "$roots/new.crt" \
    || fail 'the renewed certificate is served'
pass 'a renewed certificate is taken up by a reload'
echo 'pontoon-meet pontoon-meet/certificate select self-signed' | in_root meet debconf-set-selections
in_root meet dpkg-reconfigure --frontend noninteractive pontoon-meet > "$roots/reconfigure.log" 2>&1
! in_root meet grep -q '^certificate' /etc/pontoon/meet.debconf.toml || fail 'another answer is taken up'
! in_root meet test -e /etc/pontoon/meet.certificate || fail 'the old answer is forgotten'
in_root meet systemctl is-active --quiet pontoon-meet || fail 'the service runs on'
pass 'reconfigured by another answer'
for number in 1 2 3; do
    in_root "bridge$number" journalctl --rotate --vacuum-time=1s > /dev/null 2>&1
done
before=$(in_root meet systemctl show --property MainPID pontoon-meet)
install_on meet pontoon-meet "$next"
[ "$(in_root meet systemctl show --property MainPID pontoon-meet)" != "$before" ] || fail 'an upgrade restarts the service'
has meet /etc/pontoon/meet.toml '# Mine.'
for number in 1 2 3; do
    says "bridge$number" pontoon-bridge 'attached to signalling node'
done
pass 'upgraded: settings are kept, and the bridges come back'
in_root bridge1 dpkg --remove pontoon-bridge > "$roots/remove.log" 2>&1
! in_root bridge1 pgrep -x pontoon > /dev/null || fail 'removing stops the service'
in_root bridge1 test -e /etc/pontoon/bridge-token || fail 'removing keeps the settings'
in_root bridge1 dpkg --purge pontoon-bridge >> "$roots/remove.log" 2>&1
in_root meet dpkg --purge pontoon-meet pontoon >> "$roots/remove.log" 2>&1
for left in /etc/pontoon /var/lib/pontoon /run/pontoon-meet; do
    ! in_root meet test -e "$left" || fail "purged: $left"
done
for left in /etc/pontoon /var/lib/pontoon-bridge; do
    ! in_root bridge1 test -e "$left" || fail "purged: $left ($(in_root bridge1 ls -A "$left"))"
done
pass 'removed and purged: nothing is left'
echo "$passed passed, 0 failed"
