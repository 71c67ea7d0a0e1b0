//! What a client can do: from its presence, a cache by entity capabilities (XEP-0115), or service discovery.
use std::collections::HashMap;

use aws_lc_rs::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use stanza::disco::Info;
use stanza::ns;

/// Feature lists kept; in practice a handful cover all clients.
const MAX_CACHED: usize = 1000;

/// Features with an effect on the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Features {
    pub(crate) audio: bool,
    pub(crate) video: bool,
    /// Data channel.
    pub(crate) sctp: bool,
    pub(crate) rtx: bool,
    pub(crate) tcc: bool,
    pub(crate) remb: bool,
    pub(crate) red: bool,
    pub(crate) ssrc_rewriting: bool,
    pub(crate) mid_demux: bool,
    pub(crate) json_sources: bool,
    pub(crate) audio_mute: bool,
    /// Takes a session beside the one it has.
    #[serde(default)]
    pub(crate) moves: bool,
    /// Holds such a session without using it.
    #[serde(default)]
    pub(crate) spares: bool,
}

impl Features {
    /// What is assumed of a client that does not tell: everything that costs nothing if it is ignored.
    pub(crate) const ASSUMED: Self = Self {
        audio: true,
        video: true,
        sctp: true,
        rtx: true,
        tcc: true,
        remb: false,
        red: false,
        ssrc_rewriting: false,
        mid_demux: false,
        json_sources: false,
        audio_mute: false,
        moves: false,
        spares: false,
    };

    /// What bridges take from each other: everything.
    pub(crate) const OF_RELAYS: Self = Self {
        audio: true,
        video: true,
        sctp: true,
        rtx: true,
        tcc: true,
        remb: false,
        red: true,
        ssrc_rewriting: true,
        mid_demux: true,
        json_sources: true,
        audio_mute: true,
        moves: false,
        spares: false,
    };

    pub(crate) fn from_list<'a>(list: impl IntoIterator<Item = &'a str>) -> Self {
        let mut features = Self {
            audio: false,
            video: false,
            sctp: false,
            rtx: false,
            tcc: false,
            remb: false,
            red: false,
            ssrc_rewriting: false,
            mid_demux: false,
            json_sources: false,
            audio_mute: false,
            moves: false,
            spares: false,
        };
        for feature in list {
            match feature {
                ns::JINGLE_RTP_AUDIO => features.audio = true,
                ns::JINGLE_RTP_VIDEO => features.video = true,
                ns::JINGLE_DTLS_SCTP => features.sctp = true,
                ns::RTX => features.rtx = true,
                ns::TCC => features.tcc = true,
                ns::REMB => features.remb = true,
                ns::OPUS_RED => features.red = true,
                ns::SSRC_REWRITING => features.ssrc_rewriting = true,
                ns::RTP_MID_DEMUX => features.mid_demux = true,
                ns::JSON_SOURCES => features.json_sources = true,
                "http://jitsi.org/protocol/audio-mute" => features.audio_mute = true,
                ns::MOVES => features.moves = true,
                ns::SPARES => features.spares = true,
                _ => {}
            }
        }
        features
    }

    /// The list in a presence, if it is a whole one: clients also announce single features there.
    pub(crate) fn from_presence(list: &[String]) -> Option<Self> {
        let features = Self::from_list(list.iter().map(String::as_str));
        (features.audio || features.video).then_some(features)
    }
}

/// Feature lists by `node#ver`.
#[derive(Debug, Default)]
pub(crate) struct CapsCache(HashMap<String, Features>);

impl CapsCache {
    pub(crate) fn get(&self, key: &str) -> Option<Features> {
        self.0.get(key).copied()
    }

    /// Keeps `info` if it has the hash it claims: otherwise one client could spoil the list of others.
    pub(crate) fn learn(&mut self, key: &str, info: &Info) {
        let claimed = key.rsplit_once('#').map(|(_, ver)| ver);
        if claimed != Some(verification_string(info).as_str()) {
            return;
        }
        if self.0.len() >= MAX_CACHED {
            self.0.clear();
        }
        self.0.insert(
            key.to_owned(),
            Features::from_list(info.features.iter().map(String::as_str)),
        );
    }
}

/// XEP-0115 section 5.1, with SHA-1.
fn verification_string(info: &Info) -> String {
    let mut identities: Vec<String> = info
        .identities
        .iter()
        .map(|i| {
            format!(
                "{}/{}//{}<",
                i.category,
                i.kind,
                i.name.as_deref().unwrap_or_default()
            )
        })
        .collect();
    identities.sort();
    let mut features: Vec<&str> = info.features.iter().map(String::as_str).collect();
    features.sort_unstable();
    features.dedup();
    let mut hash = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    for identity in identities {
        hash.update(identity.as_bytes());
    }
    for feature in features {
        hash.update(feature.as_bytes());
        hash.update(b"<");
    }
    STANDARD.encode(hash.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_of_the_specification() {
        let info = Info::default()
            .identity("client", "pc", Some("Exodus 0.9.1"))
            .features([ns::MUC, ns::DISCO_INFO, ns::DISCO_ITEMS, ns::CAPS]);
        assert_eq!(verification_string(&info), "QgayPKawpkPSDYmwT/WM94uAlu0=");
    }

    #[test]
    fn only_a_list_with_its_own_hash_is_kept() {
        let info = Info::default().features([ns::JINGLE_RTP_AUDIO, ns::SSRC_REWRITING]);
        let key = format!(
            "https://jitsi.org/jitsi-meet#{}",
            verification_string(&info)
        );
        let mut cache = CapsCache::default();
        cache.learn(&key, &Info::default().features([ns::JINGLE_RTP_VIDEO]));
        assert_eq!(cache.get(&key), None);
        cache.learn(&key, &info);
        let known = cache.get(&key).unwrap();
        assert!(known.audio && known.ssrc_rewriting && !known.video);
    }

    #[test]
    fn a_single_feature_in_presence_is_no_list() {
        assert_eq!(Features::from_presence(&[ns::E2EE.to_owned()]), None);
        assert!(Features::from_presence(&[ns::JINGLE_RTP_AUDIO.to_owned()]).is_some());
    }
}
