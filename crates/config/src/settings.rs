//! What the written settings mean, with all defaults in place.

mod focus;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use telemetry::{LogConfig, LogFormat, Redacted};
use toml::de::DeValue;

use crate::account::{self, ServiceAccount};
use crate::address;
use crate::advertise::{Advertised, StunServer, Told};
use crate::certificate::{AcmeSettings, Mistake, Written};
use crate::client::ClientSettings;
use crate::error::{ConfigError, Origin};
use crate::join::JoinToken;
use crate::kind::{Cidr, Listen, Value};
use crate::layers::Layers;
use crate::options::{DefaultValue, find};
use crate::turn_server::{long_enough, told as told_servers};
pub use focus::{FocusSettings, WebhookSettings};

/// What defaults depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Whether the process may open ports below 1024.
    pub privileged: bool,
    /// `$XDG_STATE_HOME`, when set and absolute.
    pub xdg_state_home: Option<PathBuf>,
    /// The user's home directory.
    pub home: Option<PathBuf>,
}

/// Everything the command needs to build its parts.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The XMPP domain.
    pub domain: String,
    /// Where certificates and secrets are kept.
    pub state_dir: PathBuf,
    /// The cluster secret, when written.
    pub cluster_secret: Option<Redacted<String>>,
    /// Logging.
    pub log: LogConfig,
    /// The web server.
    pub front: FrontSettings,
    /// What clients are told.
    pub client: ClientSettings,
    /// The XMPP server.
    pub meet: MeetSettings,
    /// How meetings are placed on bridges.
    pub focus: FocusSettings,
    /// The media node.
    pub bridge: BridgeSettings,
}

/// Section `front`.
#[derive(Clone, Debug)]
pub struct FrontSettings {
    /// HTTPS listener.
    pub https: Listen,
    /// Plain HTTP listener.
    pub http: Listen,
    /// Proxies that are believed.
    pub trusted_proxies: Vec<Cidr>,
    /// Origin people use, `https://host[:port]`, without a trailing slash.
    pub public_url: Option<String>,
    /// Origins that may frame meetings.
    pub embed_origins: Vec<String>,
    /// Certificate chain and key, PEM files.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// How a certificate is had by ACME.
    pub acme: Option<AcmeSettings>,
    /// Directory with what is served below `/.well-known/`.
    pub well_known: Option<PathBuf>,
    /// Foreign web tree.
    pub web_root: Option<PathBuf>,
    /// Whether to send HSTS.
    pub hsts: bool,
    /// Whether there is a relay for media beside HTTPS.
    pub turn: bool,
    /// Where it relays to besides the bridge in the same process.
    pub turn_allow: Vec<Cidr>,
    /// Shard name.
    pub shard: Option<String>,
    /// Readers of `/metrics`.
    pub metrics_allow: Vec<Cidr>,
    /// Bridges behind this front: id and base URL.
    pub colibri_ws: BTreeMap<String, String>,
}

/// Section `signalling`.
#[derive(Clone, Debug)]
pub struct MeetSettings {
    /// XMPP over TCP, when written; what it is else depends on the role.
    pub listen: Option<Listen>,
    /// Who may connect there.
    pub allow: Vec<Cidr>,
    /// Host in the join token.
    pub advertise: Option<String>,
    /// Most people in a meeting.
    pub max_occupants: Option<usize>,
    /// Region of the node.
    pub region: Option<String>,
}

/// Section `bridge`.
#[derive(Clone, Debug)]
pub struct BridgeSettings {
    /// Media port.
    pub udp: Listen,
    /// Media over TCP, when written; what it is else depends on the role.
    pub tcp: Option<Listen>,
    /// Whether the machine's own addresses are told to clients.
    pub advertise_own: bool,
    /// Addresses told to clients besides; the machine's own may be among them.
    pub advertise: Vec<Advertised>,
    /// Where media is relayed.
    pub turn: Listen,
    /// What credentials for it are made with, when written.
    pub turn_secret: Option<Redacted<String>>,
    /// STUN servers that say which addresses a translator in front gives.
    pub stun: Vec<StunServer>,
    /// Name, when written.
    pub id: Option<String>,
    /// Region.
    pub region: Option<String>,
    /// Media threads; 0 leaves it to the bridge.
    pub threads: usize,
    /// Whether each media thread has a port of its own.
    pub port_per_thread: bool,
    /// People of one meeting at one media thread before another one takes some.
    pub people_per_thread: usize,
    /// How long meetings go on while no meet node is in reach.
    pub keep: Duration,
    /// Meet nodes to join.
    pub join: Vec<JoinToken>,
    /// File with tokens of more of them.
    pub join_file: Option<PathBuf>,
    /// The XMPP server of a Jitsi deployment to join.
    pub xmpp: Option<ServiceAccount>,
    /// Plain HTTP of a bridge of its own.
    pub http: Listen,
    /// Bases of the WebSocket form of the bridge channel; `None` when not written.
    pub colibri_ws: Option<Vec<String>>,
}

impl BridgeSettings {
    /// Origins of the WebSockets that browsers open to bridges.
    pub fn socket_origins(&self) -> Vec<String> {
        let bases = self.colibri_ws.iter().flatten();
        let mut origins: Vec<String> = bases
            .filter_map(|base| address::socket_origin(base))
            .collect();
        origins.sort();
        origins.dedup();
        origins
    }
}

impl Settings {
    /// Interprets what was written.
    ///
    /// # Errors
    /// Every mistake that needs more than one value, or more than a kind, to see.
    pub fn check(layers: &Layers, machine: &Machine) -> Result<Self, Vec<ConfigError>> {
        let mut reader = Reader {
            layers,
            errors: Vec::new(),
        };
        let settings = reader.settings(machine);
        reader.checked::<()>(settings.focus.mistake().map_or(Ok(None), Err));
        if reader.errors.is_empty() {
            Ok(settings)
        } else {
            Err(reader.errors)
        }
    }
}

struct Reader<'a> {
    layers: &'a Layers,
    errors: Vec<ConfigError>,
}

impl Reader<'_> {
    fn settings(&mut self, machine: &Machine) -> Settings {
        let region = self.optional("signalling.region");
        Settings {
            domain: self.text("domain").to_ascii_lowercase(),
            state_dir: self.state_dir(machine),
            cluster_secret: self.cluster_secret(),
            log: self.log(),
            front: self.front(machine.privileged),
            client: self.client(),
            meet: MeetSettings {
                listen: self
                    .optional("signalling.listen")
                    .and_then(|text| text.parse().ok()),
                allow: self.networks("signalling.xmpp_allow"),
                advertise: self.optional("signalling.advertise"),
                max_occupants: usize::try_from(self.integer("signalling.max_occupants"))
                    .ok()
                    .filter(|&most| most > 0),
                region: region.clone(),
            },
            focus: FocusSettings::read(&|key| self.value(key)),
            bridge: self.bridge(region),
        }
    }

    fn log(&mut self) -> LogConfig {
        let filter = self.text("log.filter");
        if let Err(error) = telemetry::check_filter(&filter) {
            self.fail(
                "log.filter",
                error.to_string(),
                "write a level like \"info\", or \"info,focus=debug\"",
            );
        }
        let format = if self.text("log.format") == "json" {
            LogFormat::Json
        } else {
            LogFormat::Human
        };
        LogConfig { filter, format }
    }

    fn front(&mut self, privileged: bool) -> FrontSettings {
        let (https, http) = if privileged { (443, 80) } else { (8443, 8080) };
        let https = self.listen("front.https", https);
        let http = match https {
            // Only the proxy is meant to come here.
            Listen::Off if self.layers.get("front.http").is_none() => {
                Listen::Address(SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)))
            }
            _ => self.listen("front.http", http),
        };
        if (https, http) == (Listen::Off, Listen::Off) {
            self.fail(
                "front.http",
                "is off, and so is front.https: nothing would serve pages".to_owned(),
                "write a port for one of them",
            );
        }
        let public_url = self.public_url();
        let written = Written {
            certificate: self.path("front.certificate"),
            key: self.path("front.key"),
            acme: self.optional("front.acme"),
            email: self.optional("front.acme_email"),
            root: self.path("front.acme_root"),
            host: match public_url.as_deref().and_then(address::host) {
                Some(host) => host.to_owned(),
                None => self.text("domain").to_ascii_lowercase(),
            },
            https: https != Listen::Off,
        };
        let certificate = self.checked(written.files());
        let acme = self.checked(written.acme());
        FrontSettings {
            https,
            http,
            trusted_proxies: self.networks("front.trusted_proxies"),
            public_url,
            embed_origins: self.embed_origins(),
            certificate,
            acme,
            well_known: self.path("front.well_known"),
            web_root: self.path("front.web_root"),
            turn: self.bool("front.turn"),
            turn_allow: self.networks("front.turn_allow"),
            hsts: self.bool("front.hsts"),
            shard: self.header_text("front.shard"),
            metrics_allow: self.networks("front.metrics_allow"),
            colibri_ws: self.colibri_ws(),
        }
    }

    fn client(&mut self) -> ClientSettings {
        let secret = self.optional("client.turn_secret");
        let turn = self.checked(told_servers(&self.list("client.turn_servers"), secret));
        ClientSettings {
            p2p: self.bool("client.p2p"),
            stun_servers: self.list("client.stun_servers"),
            turn,
            codecs: self.codecs("client.codecs"),
            p2p_codecs: self.codecs("client.p2p_codecs"),
            prejoin: self.bool("client.prejoin"),
            resolution: self.integer("client.resolution"),
            last_n: self.integer("client.last_n"),
            start_audio_muted: self.integer("client.start_audio_muted"),
            start_video_muted: self.integer("client.start_video_muted"),
            extra: self.path("client.extra"),
        }
    }

    fn bridge(&mut self, region: Option<String>) -> BridgeSettings {
        let udp = self.listen("bridge.udp", 0);
        if udp == Listen::Off {
            self.fail(
                "bridge.udp",
                "cannot be off".to_owned(),
                "write a port, or run \"pontoon meet\"",
            );
        }
        let told = self.checked(Told::read(&self.list("bridge.advertise")));
        let told = told.unwrap_or_default();
        BridgeSettings {
            udp,
            tcp: self
                .optional("bridge.tcp")
                .and_then(|text| text.parse().ok()),
            advertise_own: told.own,
            advertise: told.addresses,
            stun: told.stun,
            turn: self.listen("bridge.turn", 0),
            turn_secret: self.checked(long_enough(self.optional("bridge.turn_secret"))),
            id: self.optional("bridge.id"),
            region: self.optional("bridge.region").or(region),
            threads: usize::try_from(self.integer("bridge.threads")).unwrap_or(0),
            port_per_thread: self.bool("bridge.port_per_thread"),
            keep: Duration::from_secs(
                3_600 * u64::try_from(self.integer("bridge.keep_hours")).unwrap_or(12),
            ),
            people_per_thread: usize::try_from(self.integer("bridge.people_per_thread"))
                .unwrap_or(1),
            join: self.join(),
            join_file: self.path("bridge.join_file"),
            xmpp: self.service_account(),
            http: self.listen("bridge.http", 0),
            colibri_ws: self.web_socket_bases(),
        }
    }

    fn state_dir(&mut self, machine: &Machine) -> PathBuf {
        if let Some(path) = self.path("state_dir") {
            return path;
        }
        if machine.privileged {
            return PathBuf::from("/var/lib/pontoon");
        }
        if let Some(base) = &machine.xdg_state_home {
            return base.join("pontoon");
        }
        match &machine.home {
            Some(home) => home.join(".local/state/pontoon"),
            None => {
                self.fail(
                    "state_dir",
                    "has no default, since there is no home directory".to_owned(),
                    "set it",
                );
                PathBuf::new()
            }
        }
    }

    fn cluster_secret(&mut self) -> Option<Redacted<String>> {
        let secret = self.optional("cluster_secret")?;
        if secret.len() < 16 {
            self.fail(
                "cluster_secret",
                "is too short".to_owned(),
                "write at least 16 random characters",
            );
        }
        Some(Redacted::new(secret))
    }

    fn public_url(&mut self) -> Option<String> {
        let url = self.optional("front.public_url")?;
        let origin = address::public_url(&url);
        if origin.is_none() {
            self.fail(
                "front.public_url",
                "is not an https address without a path".to_owned(),
                "write it like \"https://meet.example.com\"",
            );
        }
        origin
    }

    fn embed_origins(&mut self) -> Vec<String> {
        let mut origins = Vec::new();
        for text in self.list("front.embed_origins") {
            match address::origin(&text) {
                Some(origin) => origins.push(origin),
                None => self.fail(
                    "front.embed_origins",
                    format!("\"{text}\" is not an origin"),
                    "write scheme and host, and nothing else: \"https://intra.example.com\"",
                ),
            }
        }
        origins
    }

    fn networks(&self, key: &'static str) -> Vec<Cidr> {
        self.list(key)
            .iter()
            .filter_map(|network| network.parse().ok())
            .collect()
    }

    fn header_text(&mut self, key: &'static str) -> Option<String> {
        let text = self.optional(key)?;
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            self.fail(
                key,
                "has characters that cannot stand in a header".to_owned(),
                "use ASCII without spaces",
            );
        }
        Some(text)
    }

    fn codecs(&mut self, key: &'static str) -> Vec<String> {
        let codecs: Vec<String> = self
            .list(key)
            .iter()
            .map(|codec| codec.to_ascii_uppercase())
            .collect();
        if let Some(codec) = codecs
            .iter()
            .find(|codec| !["AV1", "VP9", "VP8", "H264"].contains(&codec.as_str()))
        {
            self.fail(
                key,
                format!("\"{codec}\" is not a codec"),
                "write AV1, VP9, VP8 or H264",
            );
        }
        codecs
    }

    fn colibri_ws(&mut self) -> BTreeMap<String, String> {
        let Value::Map(map) = self
            .value("front.colibri_ws")
            .unwrap_or(Value::Map(BTreeMap::new()))
        else {
            return BTreeMap::new();
        };
        for (id, url) in &map {
            if !url.starts_with("http://") {
                self.fail(
                    "front.colibri_ws",
                    format!("the address of \"{id}\" is not plain HTTP"),
                    "write it like \"http://10.0.0.5:8080\"",
                );
            }
        }
        map
    }

    fn web_socket_bases(&mut self) -> Option<Vec<String>> {
        let Some(Value::List(bases)) = self.value("bridge.colibri_ws") else {
            return None;
        };
        let wrong = |base: &&String| address::socket_origin(base).is_none();
        if let Some(base) = bases.iter().find(wrong) {
            self.fail(
                "bridge.colibri_ws",
                format!("\"{base}\" is not a WebSocket address"),
                "write it like \"wss://meet.example.com/colibri-ws/jvb1\"",
            );
        }
        Some(bases)
    }

    fn join(&mut self) -> Vec<JoinToken> {
        let mut tokens = Vec::new();
        for text in self.list("bridge.join") {
            match text.parse::<JoinToken>() {
                Ok(token) => tokens.push(token),
                Err(error) => self.fail(
                    "bridge.join",
                    error.to_string(),
                    "copy the line that \"pontoon meet\" prints",
                ),
            }
        }
        tokens
    }

    fn service_account(&mut self) -> Option<ServiceAccount> {
        let Some(server) = self.optional("bridge.xmpp") else {
            for key in ["bridge.xmpp_password", "bridge.xmpp_certificate"] {
                if self.layers.get(key).is_some() {
                    let problem = "is of no use without bridge.xmpp".to_owned();
                    self.fail(key, problem, "write the server there");
                }
            }
            return None;
        };
        let address = account::server_address(&server);
        if address.is_none() {
            self.fail(
                "bridge.xmpp",
                format!("\"{server}\" is not a host, nor host:port"),
                "write it like \"xmpp.example.com:5222\"",
            );
        }
        let password = self.optional("bridge.xmpp_password");
        if password.is_none() {
            self.fail(
                "bridge.xmpp_password",
                "is missing".to_owned(),
                "write the password of the bridge's account on that server",
            );
        }
        let certificate = self.optional("bridge.xmpp_certificate");
        let certificate = certificate.as_deref().and_then(account::certificate);
        if certificate.is_none() {
            self.fail(
                "bridge.xmpp_certificate",
                "is no fingerprint".to_owned(),
                "write the 64 hexadecimal digits of the certificate's SHA-256, or \"unchecked\"",
            );
        }
        let domain = self
            .optional("bridge.xmpp_domain")
            .unwrap_or_else(|| format!("auth.{}", self.text("domain")))
            .to_ascii_lowercase();
        let brewery = self
            .optional("bridge.xmpp_brewery")
            .unwrap_or_else(|| format!("jvbbrewery@internal.{domain}"))
            .to_ascii_lowercase();
        if !brewery.contains('@') || brewery.contains('/') {
            self.fail(
                "bridge.xmpp_brewery",
                format!("\"{brewery}\" is not a room"),
                "write it like \"jvbbrewery@internal.auth.meet.example.com\"",
            );
        }
        let (host, port) = address?;
        Some(ServiceAccount {
            host,
            port,
            domain,
            user: self.text("bridge.xmpp_user"),
            password: Redacted::new(password?),
            brewery,
            fingerprint: certificate?,
        })
    }

    /// What was written, else the default, else nothing for a computed default.
    fn value(&self, key: &'static str) -> Option<Value> {
        if let Some((value, _origin)) = self.layers.get(key) {
            return Some(value.clone());
        }
        let option = find(key)?;
        let DefaultValue::Toml(text) = option.default else {
            return None;
        };
        option
            .kind
            .from_toml(DeValue::parse(text).ok()?.get_ref())
            .ok()
    }

    fn optional(&self, key: &'static str) -> Option<String> {
        match self.value(key)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    fn text(&self, key: &'static str) -> String {
        self.optional(key).unwrap_or_default()
    }

    fn bool(&self, key: &'static str) -> bool {
        matches!(self.value(key), Some(Value::Bool(true)))
    }

    fn integer(&self, key: &'static str) -> i64 {
        match self.value(key) {
            Some(Value::Integer(number)) => number,
            _ => 0,
        }
    }

    fn list(&self, key: &'static str) -> Vec<String> {
        match self.value(key) {
            Some(Value::List(items)) => items,
            _ => Vec::new(),
        }
    }

    fn path(&self, key: &'static str) -> Option<PathBuf> {
        self.optional(key).map(PathBuf::from)
    }

    fn listen(&self, key: &'static str, default: u16) -> Listen {
        self.optional(key)
            .and_then(|text| text.parse().ok())
            .unwrap_or(Listen::Port(default))
    }

    fn checked<T>(&mut self, found: Result<Option<T>, Mistake>) -> Option<T> {
        found.unwrap_or_else(|(key, problem, fix)| {
            self.fail(key, problem, fix);
            None
        })
    }

    fn fail(&mut self, key: &'static str, problem: String, fix: &str) {
        let origin = self
            .layers
            .get(key)
            .map_or(Origin::Default, |(_value, origin)| origin.clone());
        self.errors.push(ConfigError {
            origin,
            key: Some(key.to_owned()),
            problem,
            fix: fix.to_owned(),
        });
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::{Machine, Settings};
    use crate::kind::Listen;
    use crate::layers::Layers;

    fn machine(privileged: bool) -> Machine {
        Machine {
            privileged,
            xdg_state_home: None,
            home: Some(PathBuf::from("/home/ada")),
        }
    }

    fn check(text: &str) -> Result<Settings, Vec<String>> {
        let mut layers = Layers::new();
        layers
            .add_file(Path::new("/etc/pontoon/p.toml"), text)
            .expect("kinds are right");
        Settings::check(&layers, &machine(false))
            .map_err(|errors| errors.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn nothing_written_works() {
        let settings = Settings::check(&Layers::new(), &machine(false)).unwrap();
        assert_eq!(settings.domain, "meet.internal");
        assert_eq!(settings.front.https, Listen::Port(8443));
        assert_eq!(settings.front.http, Listen::Port(8080));
        assert_eq!(settings.bridge.udp, Listen::Port(10_000));
        assert_eq!(settings.meet.listen, None);
        let allowed = |address: &str| {
            let address = address.parse().unwrap();
            settings.meet.allow.iter().any(|net| net.contains(address))
        };
        assert!(allowed("127.0.0.1") && allowed("10.1.2.3") && allowed("fd00::1"));
        assert!(!allowed("203.0.113.5") && !allowed("2001:db8::1"));
        assert_eq!(settings.meet.max_occupants, None);
        assert_eq!(
            settings.state_dir,
            Path::new("/home/ada/.local/state/pontoon")
        );
        assert_eq!(settings.front.metrics_allow.len(), 2);
        let root = Settings::check(&Layers::new(), &machine(true)).unwrap();
        assert_eq!(
            (root.front.https, root.front.http),
            (Listen::Port(443), Listen::Port(80))
        );
        assert_eq!(root.state_dir, Path::new("/var/lib/pontoon"));
    }

    #[test]
    fn paths_count_from_the_file() {
        let front = check("[front]\nweb_root = \"web\"").unwrap().front;
        assert_eq!(front.web_root, Some(PathBuf::from("/etc/pontoon/web")));
    }

    #[test]
    fn addresses_for_media_replace_or_add() {
        let told = |text: &str| {
            let bridge = check(text).unwrap().bridge;
            (bridge.advertise_own, bridge.advertise.len())
        };
        assert_eq!(told(""), (true, 0));
        assert_eq!(told("[bridge]\nadvertise = [\"203.0.113.5\"]"), (false, 1));
        let both = "[bridge]\nadvertise = [\"own\", \"203.0.113.5\"]";
        assert_eq!(told(both), (true, 1));
        let none = check("[bridge]\nadvertise = []").unwrap_err();
        assert!(none[0].contains("bridge.advertise: is empty"), "{none:?}");
    }

    #[test]
    fn https_may_end_at_a_proxy() {
        let settings = check("[front]\nhttps = \"off\"").unwrap();
        assert_eq!(settings.front.https, Listen::Off);
        assert_eq!(settings.front.http.to_string(), "127.0.0.1:8080");
        assert_eq!(settings.front.trusted_proxies.len(), 2);
        let settings = check("[front]\nhttps = \"off\"\nhttp = 8000").unwrap();
        assert_eq!(settings.front.http, Listen::Port(8000));
    }

    #[test]
    fn regions_are_inherited() {
        let settings = check("[signalling]\nregion = \"eu\"").unwrap();
        assert_eq!(settings.bridge.region.as_deref(), Some("eu"));
    }

    #[test]
    fn a_bridge_may_join_a_jitsi_deployment() {
        let plain = "domain = \"meet.example.com\"\n[bridge]\nxmpp = \"10.0.0.2\"\nxmpp_password = \"a/b\"\n\
                     xmpp_certificate = \"unchecked\"\n";
        let account = check(plain).unwrap().bridge.xmpp.unwrap();
        assert_eq!((account.host.as_str(), account.port), ("10.0.0.2", 5222));
        assert_eq!(account.domain, "auth.meet.example.com");
        assert_eq!(account.user, "jvb");
        assert_eq!(account.password.expose(), "a/b");
        assert_eq!(account.brewery, "jvbbrewery@internal.auth.meet.example.com");
        assert_eq!(account.fingerprint, None);

        let containers = "xmpp_domain = \"auth.meet.jitsi\"\nxmpp_user = \"jvb2\"\n\
                          xmpp_brewery = \"jvbbrewery@internal-muc.meet.jitsi\"\n";
        let account = check(&format!("{plain}{containers}")).unwrap();
        let account = account.bridge.xmpp.unwrap();
        assert_eq!(account.domain, "auth.meet.jitsi");
        assert_eq!(account.user, "jvb2");
        assert_eq!(account.brewery, "jvbbrewery@internal-muc.meet.jitsi");

        assert!(check("").unwrap().bridge.xmpp.is_none());
        // Everything that is missing is said at once.
        let errors = check("[bridge]\nxmpp = \"h:x\"\nxmpp_brewery = \"r\"").unwrap_err();
        assert_eq!(errors.len(), 4, "{errors:?}");
    }

    #[test]
    fn mistakes_of_meaning() {
        let rows = [
            (
                "[bridge]\nxmpp_password = \"short\\\"\"",
                "p.toml:2: bridge.xmpp_password: is of no use without bridge.xmpp",
            ),
            (
                "[front]\ncertificate = \"c\"",
                "p.toml:2: front.certificate: has no private key; set front.key too",
            ),
            (
                "[front]\nacme = \"letsencrypt\"",
                "p.toml:2: front.acme: needs a name that the world can look up, and \"meet.internal\" is none",
            ),
            (
                "[front]\nacme = \"zero\"\npublic_url = \"https://a.b\"",
                "p.toml:2: front.acme: \"zero\" is no certificate authority",
            ),
            (
                "[front]\nhttps = \"off\"\nhttp = \"off\"",
                "p.toml:3: front.http: is off, and so is front.https",
            ),
            (
                "[front]\nembed_origins = [\"https://*.example.com\"]",
                "p.toml:2: front.embed_origins: \"https://*.example.com\" is not an origin",
            ),
            (
                "[front]\npublic_url = \"https://a/b\"",
                "p.toml:2: front.public_url: is not an https address",
            ),
            (
                "[front.colibri_ws]\na = \"b\"",
                "front.colibri_ws: the address of \"a\"",
            ),
            (
                "[client]\ncodecs = [\"VP7\"]",
                "p.toml:2: client.codecs: \"VP7\" is not a codec",
            ),
            (
                "[bridge]\njoin = [\"x\"]",
                "p.toml:2: bridge.join: the join token does not have",
            ),
            (
                "cluster_secret = \"short\"",
                "p.toml:1: cluster_secret: is too short",
            ),
            ("[log]\nfilter = \"focus=loud\"", "p.toml:2: log.filter: "),
        ];
        for (text, expected) in rows {
            let errors = check(text).unwrap_err();
            assert!(
                errors.len() == 1 && errors[0].contains(expected),
                "{text}: {errors:?}"
            );
            assert!(!errors[0].contains("short\""), "secrets are not shown");
        }
    }
}
