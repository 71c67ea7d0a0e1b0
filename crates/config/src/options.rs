//! The list of all settings.

use crate::kind::Kind;

/// What a setting is when nobody says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultValue {
    /// A value, written as in the configuration file.
    Toml(&'static str),
    /// Found out at start; the text says how.
    Computed(&'static str),
}

/// One setting.
#[derive(Clone, Copy, Debug)]
pub struct OptionSpec {
    /// Dotted key.
    pub key: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// What it is when not written.
    pub default: DefaultValue,
    /// What it does, one or more sentences.
    pub help: &'static str,
    /// Why the default is what it is.
    pub why: &'static str,
    /// Whether the value must never be shown.
    pub secret: bool,
}

/// A group of settings; the text before the first dot of their keys, or nothing for those without a dot.
#[derive(Clone, Copy, Debug)]
pub struct SectionSpec {
    /// The table's name in the file.
    pub name: &'static str,
    /// Heading sentence.
    pub help: &'static str,
}

/// The sections in the order of the reference.
pub const SECTIONS: &[SectionSpec] = &[
    SectionSpec {
        name: "",
        help: "What every part needs.",
    },
    SectionSpec {
        name: "log",
        help: "What is written to standard error.",
    },
    SectionSpec {
        name: "front",
        help: "The web server: `pontoon up` and `pontoon meet`.",
    },
    SectionSpec {
        name: "client",
        help: "What `config.js` tells the clients.",
    },
    SectionSpec {
        name: "signalling",
        help: "The XMPP server: `pontoon up` and `pontoon meet`.",
    },
    SectionSpec {
        name: "focus",
        help: "Which bridge a meeting gets: `pontoon up` and `pontoon meet`.",
    },
    SectionSpec {
        name: "bridge",
        help: "The media node: `pontoon up` and `pontoon bridge`.",
    },
];

const fn option(
    key: &'static str,
    kind: Kind,
    default: DefaultValue,
    help: &'static str,
    why: &'static str,
) -> OptionSpec {
    OptionSpec {
        key,
        kind,
        default,
        help,
        why,
        secret: false,
    }
}

const fn secret(option: OptionSpec) -> OptionSpec {
    OptionSpec {
        secret: true,
        ..option
    }
}

/// Every setting, in the order of the reference.
pub const OPTIONS: &[OptionSpec] = &[
    option(
        "domain",
        Kind::Domain,
        DefaultValue::Toml("\"meet.internal\""),
        "The XMPP domain. Clients learn it from `config.js`, so it need not be the name people type; with clients or components of other origin, set it to the public host name.",
        "Nothing resolves it, so one name serves machines that are reached by any address.",
    ),
    option(
        "state_dir",
        Kind::Path,
        DefaultValue::Computed(
            "`/var/lib/pontoon` as root, else `$XDG_STATE_HOME/pontoon` or `~/.local/state/pontoon`",
        ),
        "Where the self-made certificates, the cluster secret and what is known of running meetings are kept. Created when missing, readable by its owner only.",
        "The places the file hierarchy and the XDG base directories name for state.",
    ),
    secret(option(
        "cluster_secret",
        Kind::Text,
        DefaultValue::Computed("made once and kept in `state_dir/cluster-secret`"),
        "The secret from which the passwords of the service accounts are derived. Treat it as a password.",
        "A secret nobody chose is one nobody reused.",
    )),
    option(
        "log.filter",
        Kind::Text,
        DefaultValue::Toml("\"info\""),
        "A level (`error`, `warn`, `info`, `debug`, `trace`), or levels by part: `info,focus=debug`.",
        "A line per meeting, not per packet.",
    ),
    option(
        "log.format",
        Kind::Choice(&["human", "json"]),
        DefaultValue::Toml("\"human\""),
        "Lines for people, or a JSON object a line.",
        "The first reader is a person at a terminal.",
    ),
    option(
        "front.https",
        Kind::Listen,
        DefaultValue::Computed("443 as root, else 8443"),
        "Where HTTPS is served. Port 0 takes any free port. `off` only behind a proxy that ends TLS: pages then come by plain HTTP at `front.http`, and browsers give camera and microphone only to people whom the proxy serves by HTTPS.",
        "The port browsers use, where the process may open it.",
    ),
    option(
        "front.http",
        Kind::Listen,
        DefaultValue::Computed(
            "80 as root, else 8080; `127.0.0.1:8080` with `front.https = \"off\"`",
        ),
        "Where plain HTTP is answered: with a redirect to HTTPS, or with pages for what a trusted proxy got by HTTPS (`X-Forwarded-Proto: https`).",
        "People type addresses without a scheme.",
    ),
    option(
        "front.trusted_proxies",
        Kind::Networks,
        DefaultValue::Toml("[\"127.0.0.0/8\", \"::1\"]"),
        "Proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed: limits by address and `front.metrics_allow` then go by the person's address. From others these headers count for nothing.",
        "A proxy on the same machine is the operator's own.",
    ),
    option(
        "front.public_url",
        Kind::Text,
        DefaultValue::Computed("from the request"),
        "The address people use, `https://meet.example.com`: redirects lead there, and clients find the server there. Needed behind a proxy that changes `Host`, and behind NAT that changes the port.",
        "The browser knows best how it got here.",
    ),
    option(
        "front.embed_origins",
        Kind::List,
        DefaultValue::Toml("[]"),
        "Origins whose pages may show meetings in a frame, `https://intra.example.com`, and whose links may enter a meeting without a click. Pages of other sites can do neither.",
        "A page of a stranger must not open cameras in a hidden frame.",
    ),
    option(
        "front.certificate",
        Kind::Path,
        DefaultValue::Computed("a self-signed one, made once and kept in `state_dir`"),
        "PEM file with the certificate chain, leaf first. Needs `front.key`. A changed file is taken up within seconds, or at once with SIGHUP.",
        "A meeting must work before the paperwork is done.",
    ),
    option(
        "front.key",
        Kind::Path,
        DefaultValue::Computed("that of the self-signed certificate"),
        "PEM file with the private key of `front.certificate`.",
        "Belongs to the certificate.",
    ),
    option(
        "front.acme",
        Kind::Text,
        DefaultValue::Computed("none"),
        "Certificate authority that is asked, by ACME, for a certificate for the host of `front.public_url` (else `domain`), and asked again in time: `letsencrypt`, `letsencrypt-staging` to try, or the https address of an ACME directory. Whoever sets it agrees to its terms. It proves the name over port 80 (`front.http`), and over 443 if that fails. Until it has one there is a self-signed one.",
        "It tells an authority, and so everybody, the name of the server.",
    ),
    option(
        "front.acme_email",
        Kind::Text,
        DefaultValue::Computed("none"),
        "Where the certificate authority writes when something is wrong with a certificate.",
        "Not every authority asks for one.",
    ),
    option(
        "front.acme_root",
        Kind::Path,
        DefaultValue::Computed("those that this machine trusts"),
        "PEM file with the root certificate that vouches for the ACME directory, if it is one of your own network.",
        "Public authorities are trusted by the machine.",
    ),
    option(
        "front.well_known",
        Kind::Path,
        DefaultValue::Computed("none"),
        "Directory whose files are served below `/.well-known/`, those of `acme-challenge` by plain HTTP too, so that another ACME client (`certbot --webroot`) can prove the name.",
        "`front.acme` needs no files.",
    ),
    option(
        "front.web_root",
        Kind::Path,
        DefaultValue::Computed("the web client in the binary"),
        "Directory with an unpacked jitsi-meet web tree to serve instead of the built-in client. Server-side includes are resolved; `config.js` is ours.",
        "The binary has a client.",
    ),
    option(
        "front.turn",
        Kind::Bool,
        DefaultValue::Toml("true"),
        "Relay media (TURN over TLS) on the port of HTTPS, for networks that let nothing through but TLS. Clients are told of it when `front.public_url` is set; credentials end after a day.",
        "It carries media to this deployment's bridges and nowhere else.",
    ),
    option(
        "front.turn_allow",
        Kind::Networks,
        DefaultValue::Toml("[]"),
        "Addresses or networks to which media is relayed besides the bridge of `pontoon up`: those of the bridges of `pontoon meet`, which has no relay without.",
        "A relay to anywhere would be one into the operator's own network.",
    ),
    option(
        "front.hsts",
        Kind::Bool,
        DefaultValue::Toml("false"),
        "Send `Strict-Transport-Security` for two years.",
        "With a self-signed certificate it would lock people out.",
    ),
    option(
        "front.shard",
        Kind::Text,
        DefaultValue::Computed("none"),
        "Name of this deployment shard, sent as `X-Jitsi-Shard` and in `config.js`.",
        "One node has no need of it.",
    ),
    option(
        "front.metrics_allow",
        Kind::Networks,
        DefaultValue::Toml("[\"127.0.0.0/8\", \"::1\"]"),
        "Who may read `/metrics`.",
        "Figures of a service are not for its guests.",
    ),
    option(
        "front.colibri_ws",
        Kind::Map,
        DefaultValue::Toml("{}"),
        "Bridges whose WebSockets are passed on: `jvb1 = \"http://10.0.0.5:8080\"` serves `/colibri-ws/jvb1/`.",
        "Clients use the data channel instead.",
    ),
    option(
        "client.p2p",
        Kind::Bool,
        DefaultValue::Toml("true"),
        "Two people send media directly to each other where their networks allow.",
        "Saves the bridge's bandwidth and the way there.",
    ),
    option(
        "client.stun_servers",
        Kind::List,
        DefaultValue::Toml("[]"),
        "STUN servers for direct media, `stun:stun.example.com:3478`.",
        "No third party hears of a meeting unless the operator chose it.",
    ),
    option(
        "client.turn_servers",
        Kind::List,
        DefaultValue::Toml("[]"),
        "TURN servers that clients are told of, for networks that let little through: `turn:media1.example.com:3478`, by UDP and by TCP, or by one with `?transport=udp` or `?transport=tcp` behind it; `turns:` by TLS. Bridges with `bridge.turn` are such, and others that make passwords of a secret (`use-auth-secret` of coturn). That of `pontoon up` itself need not be listed.",
        "UDP, media over TCP and the relay beside HTTPS serve nearly everybody.",
    ),
    secret(option(
        "client.turn_secret",
        Kind::Text,
        DefaultValue::Computed("none; must be written with `client.turn_servers`"),
        "What credentials for `client.turn_servers` are made with, the same as `bridge.turn_secret` there. They end after a day.",
        "Whoever knows it can use those relays.",
    )),
    option(
        "client.codecs",
        Kind::List,
        DefaultValue::Toml("[\"VP8\", \"VP9\", \"AV1\", \"H264\"]"),
        "Video codecs towards the bridge, most wanted first.",
        "VP8 is cheap to encode on every device and has simulcast.",
    ),
    option(
        "client.p2p_codecs",
        Kind::List,
        DefaultValue::Toml("[\"VP9\", \"VP8\", \"H264\", \"AV1\"]"),
        "Video codecs of direct media, most wanted first.",
        "One encoding for one viewer can be a better one.",
    ),
    option(
        "client.prejoin",
        Kind::Bool,
        DefaultValue::Toml("true"),
        "Ask for name, camera and microphone before entering.",
        "Nobody likes to be seen by surprise.",
    ),
    option(
        "client.resolution",
        Kind::Integer { min: 90, max: 2160 },
        DefaultValue::Toml("720"),
        "Height of the camera picture to ask for, in pixels.",
        "What most cameras deliver well.",
    ),
    option(
        "client.last_n",
        Kind::Integer { min: -1, max: 1000 },
        DefaultValue::Toml("-1"),
        "Most videos a client asks for; -1 is no limit.",
        "The layout already asks for what it shows.",
    ),
    option(
        "client.start_audio_muted",
        Kind::Integer {
            min: 0,
            max: 10_000,
        },
        DefaultValue::Toml("25"),
        "From this participant on people join with the microphone off.",
        "A large meeting is an audience.",
    ),
    option(
        "client.start_video_muted",
        Kind::Integer {
            min: 0,
            max: 10_000,
        },
        DefaultValue::Toml("25"),
        "From this participant on people join with the camera off.",
        "A large meeting is an audience.",
    ),
    option(
        "client.extra",
        Kind::Path,
        DefaultValue::Computed("none"),
        "File of JavaScript appended to `config.js`; it may change the object `config`. Read at start. It must not use `window` or `document` (mobile apps have neither).",
        "The keys above suffice for most.",
    ),
    option(
        "signalling.listen",
        Kind::Listen,
        DefaultValue::Computed("5222; with `pontoon up` for this machine alone, `127.0.0.1:5222`"),
        "Where XMPP over TCP is served to bridges and other services. `5222` with `pontoon up` lets bridges on other machines join it.",
        "The port XMPP has; whoever runs all on one machine has no bridge elsewhere.",
    ),
    option(
        "signalling.xmpp_allow",
        Kind::Networks,
        DefaultValue::Toml(
            "[\"127.0.0.0/8\", \"::1\", \"10.0.0.0/8\", \"172.16.0.0/12\", \"192.168.0.0/16\", \"100.64.0.0/10\", \"fc00::/7\", \"fe80::/10\"]",
        ),
        "Who may connect to `signalling.listen`: addresses or networks of the bridges. `[\"0.0.0.0/0\", \"::/0\"]` lets in everybody.",
        "Private networks, where bridges mostly are; the world has no business at this port.",
    ),
    option(
        "signalling.advertise",
        Kind::Text,
        DefaultValue::Computed("the machine's first address"),
        "Host name or address at which bridges reach this node; stands in the join token.",
        "Right on a plain network; set it behind NAT.",
    ),
    option(
        "signalling.max_occupants",
        Kind::Integer {
            min: 0,
            max: 100_000,
        },
        DefaultValue::Toml("0"),
        "Most people in one meeting; 0 is no limit.",
        "Bridges protect themselves.",
    ),
    option(
        "signalling.region",
        Kind::Text,
        DefaultValue::Computed("none"),
        "Region of this node; bridges of the same region are preferred.",
        "One place has no regions.",
    ),
    option(
        "focus.strategy",
        Kind::Choice(&["single", "region-based", "intra-region", "visitor", "split"]),
        DefaultValue::Toml("\"single\""),
        "`single`: all of a meeting on one bridge, the least loaded of the first participant's region, else of all. The others spread a meeting over bridges that have relays: `region-based` by the region of each participant; `intra-region` within the region in which it began; `visitor` keeps visitors and participants apart, each by a strategy of their own; `split` gives each participant another bridge, for tests.",
        "What Jitsi's does too; a meeting on one bridge needs no relays.",
    ),
    option(
        "focus.participant_strategy",
        Kind::Choice(&["single", "region-based", "intra-region", "split"]),
        DefaultValue::Toml("\"region-based\""),
        "With `focus.strategy = \"visitor\"`: how participants are placed.",
        "Near them.",
    ),
    option(
        "focus.visitor_strategy",
        Kind::Choice(&["single", "region-based", "intra-region", "split"]),
        DefaultValue::Toml("\"region-based\""),
        "With `focus.strategy = \"visitor\"`: how visitors are placed.",
        "Near them.",
    ),
    option(
        "focus.near_regions",
        Kind::List,
        DefaultValue::Toml("[]"),
        "Groups of regions that are near each other, the names in each separated by commas: `[\"eu-west,eu-central\", \"us-east,us-west\"]`.",
        "Only the operator knows their networks.",
    ),
    option(
        "focus.max_people_per_bridge",
        Kind::Integer {
            min: 0,
            max: 1_000_000,
        },
        DefaultValue::Toml("0"),
        "A bridge with so many people gets no further meeting; 0 is no limit. If all have so many, people are told and served as soon as there is room.",
        "The load that bridges report tells more.",
    ),
    option(
        "focus.max_people_of_meeting_per_bridge",
        Kind::Integer {
            min: 0,
            max: 1_000_000,
        },
        DefaultValue::Toml("80"),
        "People of one meeting on one bridge beyond which another bridge takes the next, where meetings are spread over several; 0 is no limit.",
        "The number of Jitsi's focus.",
    ),
    option(
        "focus.max_mesh",
        Kind::Integer { min: 0, max: 64 },
        DefaultValue::Toml("5"),
        "Bridges of one meeting that have relays to each other, where meetings are spread over several. Any further one, and each with visitors alone, has one relay, to one of these, which passes on what goes to and from it; if that one is lost, it gets another. 0: all have relays to each other.",
        "Each bridge sends what its people send to few others, and no way is longer than three relays.",
    ),
    option(
        "focus.standby",
        Kind::Bool,
        DefaultValue::Toml("false"),
        "Give clients that can (ours) a spare connection on another bridge, over which nothing goes until their bridge is lost: then they are heard there within a moment. Meetings that are on several bridges have none.",
        "Each person has two connections then, one of them idle.",
    ),
    option(
        "focus.overloaded",
        Kind::Integer { min: 1, max: 1000 },
        DefaultValue::Toml("80"),
        "Load, in percent of what a bridge can carry, from which it is avoided.",
        "The number of Jitsi's focus; a meeting grows after it began.",
    ),
    option(
        "focus.mix_versions",
        Kind::Bool,
        DefaultValue::Toml("false"),
        "Spread one meeting over bridges of different versions.",
        "Bridges tell each other what only the same version is sure to understand.",
    ),
    option(
        "focus.http",
        Kind::Listen,
        DefaultValue::Toml("\"off\""),
        "Where the focus serves `/about/health`, `/about/version`, `/stats`, `/debug`, `/metrics` and `/status` as plain HTTP, for monitoring, as Jitsi's does at `127.0.0.1:8888`. Orders (drain, move, restart) are taken from this machine, or with the token in `operator-token` of the state directory.",
        "No port need be open; `pontoon status` needs none.",
    ),
    option(
        "focus.webhook",
        Kind::Text,
        DefaultValue::Computed("none"),
        "Address to which the focus posts JSON when a bridge comes, goes, is drained or not any more, and when the mean load of the bridges crosses `focus.webhook_high` or `focus.webhook_low` (again every five minutes as long as it lasts): `https://scaler.example.com/pontoon`, or `http://` within a network of your own.",
        "Whoever adds and removes bridges need not ask all the time.",
    ),
    secret(option(
        "focus.webhook_token",
        Kind::Text,
        DefaultValue::Computed("none"),
        "Sent with what is posted to `focus.webhook`, as `Authorization: Bearer`.",
        "The receiver knows its senders.",
    )),
    option(
        "focus.webhook_high",
        Kind::Integer { min: 1, max: 1000 },
        DefaultValue::Toml("60"),
        "Mean load, in percent of what the bridges can carry, from which more of them should be there.",
        "A new bridge takes minutes to come, and `focus.overloaded` is near then.",
    ),
    option(
        "focus.webhook_low",
        Kind::Integer { min: 0, max: 1000 },
        DefaultValue::Toml("20"),
        "Mean load, in percent, below which fewer would do.",
        "What is left carries the rest below `focus.webhook_high`, of three bridges for instance.",
    ),
    option(
        "bridge.udp",
        Kind::Listen,
        DefaultValue::Toml("10000"),
        "Where media is received and sent.",
        "The port firewalls of Jitsi deployments have open.",
    ),
    option(
        "bridge.tcp",
        Kind::Listen,
        DefaultValue::Computed(
            "the port of `front.https` with `pontoon up`; else 443, if nothing else has it",
        ),
        "Where media is received and sent over TCP, for people whose network lets no UDP through; `off` offers them nothing. With `pontoon up` it may be the port of HTTPS: the first byte tells the one from the other.",
        "The one port that every network lets through.",
    ),
    option(
        "bridge.turn",
        Kind::Listen,
        DefaultValue::Toml("\"off\""),
        "Where media is relayed (TURN) by UDP and by TCP, `3478` for instance, for networks that let only such ports through. With `pontoon up` and `front.public_url` clients are told of it; the meet node of a bridge elsewhere lists it in `client.turn_servers`.",
        "Media over TCP at `bridge.tcp` needs no relay.",
    ),
    secret(option(
        "bridge.turn_secret",
        Kind::Text,
        DefaultValue::Computed(
            "with `pontoon up`, made of `cluster_secret`; else it must be written with `bridge.turn`",
        ),
        "What credentials for `bridge.turn` are made with, at least 16 characters: the same as `client.turn_secret` of the meet node.",
        "Only who holds it can give people credentials.",
    )),
    option(
        "bridge.advertise",
        Kind::Addresses,
        DefaultValue::Toml("[\"own\"]"),
        "Addresses told to clients for media; `own` stands for all of the machine's. A name (`media.example.com`) is looked up at start. Where a translator in front has another port, it is written too (`203.0.113.5:4443`); where it leads to one of several addresses of this machine, that one follows (`203.0.113.5=10.0.0.5`). What is not listed is not told: `[\"203.0.113.5\"]` is only the public address of a NAT or cloud, `[\"own\", \"203.0.113.5\"]` both, for people inside and outside; `[\"192.0.2.7\"]` is that one of the machine's, without those of container networks. `stun:stun.example.com:3478` asks a STUN server, at start and once a minute, which address it sees: for a public address that changes; the translator must lead the port of media to the same port here.",
        "Right on a plain network.",
    ),
    option(
        "bridge.id",
        Kind::Domain,
        DefaultValue::Computed("made once and kept in `state_dir`"),
        "Name of this bridge among the others; letters, digits, `-` and `.`.",
        "Two bridges must never share one.",
    ),
    option(
        "bridge.region",
        Kind::Text,
        DefaultValue::Computed("`signalling.region`"),
        "Region of this bridge.",
        "In one process they are in one place.",
    ),
    option(
        "bridge.threads",
        Kind::Integer { min: 0, max: 1024 },
        DefaultValue::Toml("0"),
        "Media threads; 0 is one less than there are cores, at least one.",
        "Conferences are spread over the threads.",
    ),
    option(
        "bridge.people_per_thread",
        Kind::Integer {
            min: 1,
            max: 100_000,
        },
        DefaultValue::Toml("100"),
        "People of one meeting that one media thread serves before the next one takes some: a larger meeting is spread over all `bridge.threads`.",
        "With fewer people the threads would tell each other more than each saves.",
    ),
    option(
        "bridge.keep_hours",
        Kind::Integer { min: 1, max: 720 },
        DefaultValue::Toml("12"),
        "Hours for which meetings go on while no meet node is in reach; then they are ended, as nobody else would do it.",
        "A node that is restarted, or mended, finds them running.",
    ),
    option(
        "bridge.port_per_thread",
        Kind::Bool,
        DefaultValue::Toml("false"),
        "Give each media thread a port of its own, `bridge.udp` and those after it: each person is told the port of the thread that has the meeting, and no packet is passed from thread to thread. The firewall must let in all of them.",
        "One port is what firewalls have open; it matters with several `bridge.threads` under load.",
    ),
    secret(option(
        "bridge.join",
        Kind::List,
        DefaultValue::Toml("[]"),
        "Join tokens of meet nodes, as printed by `pontoon meet` and `pontoon token`. Everybody on the machine can read a command line: better the environment (`PONTOON_BRIDGE_JOIN`) or `bridge.join_file`.",
        "`pontoon up` joins itself.",
    )),
    option(
        "bridge.join_file",
        Kind::Path,
        DefaultValue::Computed("none"),
        "File with further join tokens, one a line; read at start.",
        "One token is an option.",
    ),
    option(
        "bridge.xmpp",
        Kind::Text,
        DefaultValue::Computed("none"),
        "XMPP server of a Jitsi deployment that `pontoon bridge` joins, `host` or `host:port`; such a server gives out no token, so the keys below say the rest.",
        "A meet node's token holds all of it.",
    ),
    option(
        "bridge.xmpp_domain",
        Kind::Domain,
        DefaultValue::Computed("`auth.` and `domain`"),
        "Domain of the bridge's account on that server.",
        "Where Jitsi deployments have their service accounts.",
    ),
    option(
        "bridge.xmpp_user",
        Kind::Text,
        DefaultValue::Toml("\"jvb\""),
        "Name of the bridge's account.",
        "The name in Jitsi deployments; several bridges may share the account.",
    ),
    secret(option(
        "bridge.xmpp_password",
        Kind::Text,
        DefaultValue::Computed("none"),
        "Password of the bridge's account.",
        "Only the server's operator knows it.",
    )),
    option(
        "bridge.xmpp_brewery",
        Kind::Text,
        DefaultValue::Computed("`jvbbrewery@internal.` and `bridge.xmpp_domain`"),
        "Room in which the focus looks for bridges, the same as in its `brewery-jid`.",
        "The room of an installation from packages; the containers have `jvbbrewery@internal-muc.meet.jitsi`.",
    ),
    option(
        "bridge.xmpp_certificate",
        Kind::Text,
        DefaultValue::Computed("none; must be written with `bridge.xmpp`"),
        "SHA-256 fingerprint of the server's certificate, or `unchecked`: then whoever answers at that address is believed and may learn what the password protects.",
        "These certificates are self-signed, so nothing else can vouch for them.",
    ),
    option(
        "bridge.http",
        Kind::Listen,
        DefaultValue::Toml("\"off\""),
        "Where a bridge serves `/about/health`, `/about/version`, `/colibri/stats`, `/metrics` and `/debug` as plain HTTP, for monitoring, as Jitsi's does at `127.0.0.1:8080`; `/colibri-ws` too, for the front. Orders (drain, shutdown, restart) are taken from this machine, or with the token in `operator-token` of the state directory.",
        "The data channel carries the bridge's messages; no port need be open.",
    ),
    option(
        "bridge.colibri_ws",
        Kind::List,
        DefaultValue::Computed("with `pontoon up` and `front.public_url`, that front's; else none"),
        "Where fronts pass this bridge's WebSockets on, `wss://meet.example.com/colibri-ws/jvb1`; clients that want no data channel use them.",
        "The addresses must be those people's browsers use, which only the operator knows.",
    ),
];

/// The option with this key.
pub fn find(key: &str) -> Option<&'static OptionSpec> {
    OPTIONS.iter().find(|option| option.key == key)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use toml::de::DeValue;

    use super::{DefaultValue, OPTIONS, SECTIONS};

    #[test]
    fn keys_are_unique_and_belong_to_a_section() {
        let mut seen = BTreeSet::new();
        for option in OPTIONS {
            assert!(seen.insert(option.key), "{} twice", option.key);
            let section = option
                .key
                .split_once('.')
                .map_or("", |(section, _)| section);
            assert!(
                SECTIONS.iter().any(|known| known.name == section),
                "{}",
                option.key
            );
            assert!(
                option.help.ends_with('.') && option.why.ends_with('.'),
                "{}",
                option.key
            );
        }
    }

    #[test]
    fn every_default_is_a_value_of_its_kind() {
        for option in OPTIONS {
            if let DefaultValue::Toml(text) = option.default {
                let value = DeValue::parse(text).unwrap();
                assert!(
                    option.kind.from_toml(value.get_ref()).is_ok(),
                    "{}",
                    option.key
                );
            }
        }
    }
}
