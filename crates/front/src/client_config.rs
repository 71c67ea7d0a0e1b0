//! `config.js`: what clients are told about the deployment, made for each request.

use serde_json::{Map, Value, json};
use stanza::jitsi::room;

/// What goes into `config.js` besides the addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientConfig {
    /// The XMPP domain.
    pub domain: String,
    /// Direct media between two people.
    pub p2p: bool,
    /// STUN URLs for direct media.
    pub stun_servers: Vec<String>,
    /// Whether a relay is reached by UDP, which clients use for bridges only when told so.
    pub turn_by_udp: bool,
    /// Codec order towards the bridge.
    pub codecs: Vec<String>,
    /// Codec order of direct media.
    pub p2p_codecs: Vec<String>,
    /// Whether the client shows a page before the room.
    pub prejoin: bool,
    /// Camera height to ask for, in pixels.
    pub resolution: i64,
    /// Most videos a client asks for; -1 is no limit.
    pub last_n: i64,
    /// Participant from which microphones start off.
    pub start_audio_muted: i64,
    /// Participant from which cameras start off.
    pub start_video_muted: i64,
    /// Shard and region of the deployment, for clients that report them.
    pub shard: Option<String>,
    /// See `shard`.
    pub region: Option<String>,
    /// Origins whose pages may frame meetings, and whose links may enter without a click.
    pub embed_origins: Vec<String>,
    /// JavaScript appended to the text.
    pub extra: String,
}

/// How the page was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place<'a> {
    /// Host and port of the page, as in `Host`.
    pub(crate) host: &'a str,
    /// First path segment of a tenant's page, decoded; empty without one.
    pub(crate) tenant: &'a str,
}

impl Place<'_> {
    /// `acme/` below a tenant, else nothing; percent-encoded for use in addresses.
    pub(crate) fn subdir(&self) -> String {
        if self.tenant.is_empty() {
            String::new()
        } else {
            format!("{}/", encode_segment(self.tenant))
        }
    }

    /// `acme.` below a tenant, else nothing: the label before the domain of its rooms. Letters, digits, `-`, `_`, `=` alone.
    pub(crate) fn subdomain(&self) -> String {
        if self.tenant.is_empty() {
            String::new()
        } else {
            format!("{}.", room::tenant_label(self.tenant))
        }
    }
}

impl ClientConfig {
    /// The text of `config.js`. It stands alone (no `window`, no `document`: mobile apps evaluate it without), and may be put
    /// inside a `<script>` element.
    pub(crate) fn script(&self, place: Place<'_>) -> String {
        // JSON is JavaScript; a "<" in a string must not end the script element around it.
        let object = Value::Object(self.object(place))
            .to_string()
            .replace('<', "\\u003c");
        format!("var config = {object};\n{}", self.extra)
    }

    fn object(&self, place: Place<'_>) -> Map<String, Value> {
        let domain = &self.domain;
        let base = format!("{}/{}", place.host, place.subdir());
        let mut config = Map::new();
        let mut put = |key: &str, value: Value| drop(config.insert(key.to_owned(), value));
        put(
            "hosts",
            json!({
                "domain": domain,
                "muc": format!("conference.{}{domain}", place.subdomain()),
                "focus": format!("focus.{domain}"),
            }),
        );
        put("focusUserJid", json!(format!("focus@auth.{domain}")));
        put("websocket", json!(format!("wss://{base}xmpp-websocket")));
        put("bosh", json!(format!("https://{base}http-bind")));
        put(
            "websocketKeepAliveUrl",
            json!(format!("https://{base}_unlock")),
        );
        put(
            "conferenceRequestUrl",
            json!(format!("https://{base}conference-request/v1")),
        );
        put("bridgeChannel", json!({ "preferSctp": true }));
        // Our client may log in without waiting for each answer; others do not know the key.
        put("pontoon", json!({ "pipelinedLogin": true }));
        put("flags", json!({ "ssrcRewritingEnabled": true }));
        // A client says that it takes redundant audio only where its page says so.
        put("enableOpusRed", json!(true));
        put("p2p", self.p2p());
        put("useTurnUdp", json!(self.turn_by_udp));
        put(
            "videoQuality",
            json!({ "codecPreferenceOrder": self.codecs }),
        );
        put("prejoinConfig", json!({ "enabled": self.prejoin }));
        put("enableWelcomePage", json!(true));
        put("disableThirdPartyRequests", json!(true));
        put("analytics", json!({ "disabled": true }));
        put("resolution", json!(self.resolution));
        put(
            "constraints",
            json!({ "video": { "height": { "ideal": self.resolution, "max": self.resolution, "min": 180 } } }),
        );
        put("channelLastN", json!(self.last_n));
        // Links from elsewhere enter without a click only where the operator said so.
        put("embedOrigins", json!(self.embed_origins));
        // Not defaults of the official client's code but of the file it expects.
        put("enableNoAudioDetection", json!(true));
        put("enableNoisyMicDetection", json!(true));
        put("mouseMoveCallbackInterval", json!(1000));
        put("testing", json!({}));
        put("startAudioMuted", json!(self.start_audio_muted));
        put("startVideoMuted", json!(self.start_video_muted));
        if self.shard.is_some() || self.region.is_some() {
            let info: Map<String, Value> = [
                ("shard", &self.shard),
                ("region", &self.region),
                ("userRegion", &self.region),
            ]
            .into_iter()
            .filter_map(|(key, value)| Some((key.to_owned(), json!(value.as_ref()?))))
            .collect();
            put("deploymentInfo", Value::Object(info));
        }
        config
    }

    fn p2p(&self) -> Value {
        let servers: Vec<Value> = self
            .stun_servers
            .iter()
            .map(|url| json!({ "urls": url }))
            .collect();
        // An empty list is said: a client without one asks a third party's server.
        json!({
            "enabled": self.p2p,
            "stunServers": servers,
            "codecPreferenceOrder": self.p2p_codecs,
        })
    }
}

/// Percent-encodes a path segment. What is left stands for itself in addresses, HTML, attributes and strings of JavaScript
/// alike: a foreign page echoes it into any of them.
pub(crate) fn encode_segment(segment: &str) -> String {
    let mut text = String::with_capacity(segment.len());
    for byte in segment.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::Value;

    use super::{ClientConfig, Place};

    pub(crate) fn example() -> ClientConfig {
        ClientConfig {
            domain: "meet.example.com".to_owned(),
            p2p: true,
            stun_servers: vec!["stun:stun.example.com".to_owned()],
            turn_by_udp: false,
            codecs: vec!["VP8".to_owned()],
            p2p_codecs: vec!["VP9".to_owned()],
            prejoin: false,
            resolution: 720,
            last_n: -1,
            start_audio_muted: 25,
            start_video_muted: 25,
            shard: None,
            region: None,
            embed_origins: vec!["https://intra.example.com".to_owned()],
            extra: String::new(),
        }
    }

    fn parse(script: &str) -> Value {
        let object = script
            .strip_prefix("var config = ")
            .and_then(|rest| rest.strip_suffix(";\n"));
        serde_json::from_str(object.expect("one assignment")).expect("JSON")
    }

    #[test]
    fn addresses_follow_the_page() {
        let config = parse(&example().script(Place {
            host: "10.0.0.5:8443",
            tenant: "",
        }));
        assert_eq!(config["hosts"]["domain"], "meet.example.com");
        assert_eq!(config["hosts"]["muc"], "conference.meet.example.com");
        assert_eq!(config["websocket"], "wss://10.0.0.5:8443/xmpp-websocket");
        assert_eq!(config["bosh"], "https://10.0.0.5:8443/http-bind");
        assert_eq!(
            config["p2p"]["stunServers"][0]["urls"],
            "stun:stun.example.com"
        );
        assert_eq!(config["prejoinConfig"]["enabled"], false);
        assert_eq!(config.get("deploymentInfo"), None);
    }

    #[test]
    fn tenants_have_their_own_rooms_and_paths() {
        let config = parse(&example().script(Place {
            host: "h",
            tenant: "Acme.Inc",
        }));
        assert_eq!(
            config["hosts"]["muc"],
            "conference.acme_inc.meet.example.com"
        );
        assert_eq!(config["websocket"], "wss://h/Acme.Inc/xmpp-websocket");
        let config = parse(&example().script(Place {
            host: "h",
            tenant: "a b",
        }));
        assert_eq!(config["bosh"], "https://h/a%20b/http-bind");
        let config = parse(&example().script(Place {
            host: "h",
            tenant: "Bücher AG",
        }));
        assert_eq!(
            config["hosts"]["muc"],
            "conference.b=c3=bccher=20ag.meet.example.com"
        );
        assert_eq!(config["bosh"], "https://h/B%C3%BCcher%20AG/http-bind");
    }

    #[test]
    fn keys_the_official_client_expects_are_there() {
        let config = parse(&example().script(Place {
            host: "h",
            tenant: "",
        }));
        assert_eq!(config["enableNoAudioDetection"], true);
        assert_eq!(config["enableOpusRed"], true);
        assert_eq!(config["enableNoisyMicDetection"], true);
        assert_eq!(config["mouseMoveCallbackInterval"], 1000);
        assert!(config["testing"].is_object());
        assert_eq!(
            config["embedOrigins"],
            serde_json::json!(["https://intra.example.com"])
        );
    }

    #[test]
    fn no_value_ends_the_script_element() {
        let script = example().script(Place {
            host: "h",
            tenant: "</script><script>alert(1)",
        });
        assert!(!script.contains('<'), "{script}");
        parse(&script);
    }

    #[test]
    fn shard_and_region_are_told() {
        let config = ClientConfig {
            shard: Some("s1".to_owned()),
            ..example()
        };
        let config = parse(&config.script(Place {
            host: "h",
            tenant: "",
        }));
        assert_eq!(
            config["deploymentInfo"],
            serde_json::json!({ "shard": "s1" })
        );
    }
}
