//! A new session as it is described to the bridge and to the client.

use std::collections::BTreeMap;

use stanza::colibri2::{Endpoint, ForceMute, Sctp, Transport, capability};
use stanza::jingle::Jingle;
use stanza::jitsi::compact::OwnerSources;
use stanza::media::MediaType;

use super::member::Member;
use crate::context::Context;
use crate::features::Features;
use crate::offer;
use crate::sources::{self, SourceSet};

/// The owner under which clients know the bridge's own sources.
const BRIDGE_OWNER: &str = "jvb";

/// The endpoint that a bridge is asked for; a spare one shall be ready to hear everybody at once.
pub(super) fn new_endpoint(
    cx: &Context<'_>,
    nick: &str,
    features: Features,
    sctp: bool,
    mute: ForceMute,
    member: &Member,
    spare: bool,
) -> Endpoint {
    let wanted = [
        (true, capability::SOURCE_NAMES),
        (features.ssrc_rewriting, capability::SSRC_REWRITING),
        (
            features.ssrc_rewriting && features.mid_demux && cx.config.codecs.mid,
            capability::RTP_MID_DEMUX,
        ),
        (spare, capability::SOUND_AHEAD),
    ];
    Endpoint {
        id: nick.to_owned(),
        create: true,
        stats_id: member.info.stats_id.clone(),
        muc_role: member.is_visitor().then(|| "visitor".to_owned()),
        diarize: member.info.diarize,
        media: offer::colibri_media(&cx.config.codecs, features),
        transport: Some(Transport {
            ice_controlling: true,
            sctp: sctp.then(Sctp::default),
            ..Transport::default()
        }),
        sources: Some(Vec::new()),
        force_mute: (mute.audio || mute.video).then_some(mute),
        capabilities: wanted
            .iter()
            .filter(|(wanted, _)| *wanted)
            .map(|(_, name)| (*name).to_owned())
            .collect(),
        ..Endpoint::default()
    }
}

/// The bridge's own sources with the stream ids by which clients know to show nothing for them.
pub(super) fn feedback_sources(sources: &[stanza::colibri2::MediaSource]) -> OwnerSources {
    use stanza::jitsi::compact::CompactSource;
    let of = |media: MediaType, msid: &str| -> Vec<CompactSource> {
        let all = sources
            .iter()
            .filter(|m| m.media == media)
            .flat_map(|m| m.sources.iter().map(|s| (&m.id, s)));
        all.take(1)
            .map(|(id, s)| CompactSource {
                ssrc: s.ssrc,
                name: Some(s.name.clone().unwrap_or_else(|| id.clone())),
                msid: Some(msid.to_owned()),
                desktop: false,
            })
            .collect()
    };
    OwnerSources {
        video: of(MediaType::Video, "mixedmslabel mixedlabelvideo0"),
        audio: of(MediaType::Audio, "mixedmslabel mixedlabelaudio0"),
        ..OwnerSources::default()
    }
}

/// Puts sources into an offer, in the form the client knows.
pub(super) fn add_sources(
    jingle: &mut Jingle,
    features: Features,
    signalled: &BTreeMap<String, SourceSet>,
    feedback: Option<&OwnerSources>,
) {
    let mut all = sources::compact(signalled);
    if let Some(feedback) = feedback {
        let mut feedback = feedback.clone();
        if !features.video {
            feedback.video.clear();
        }
        if !features.audio {
            feedback.audio.clear();
        }
        all.0.insert(BRIDGE_OWNER.to_owned(), feedback);
    }
    if features.json_sources {
        jingle.sources = Some(all).filter(|all| !all.0.is_empty());
        return;
    }
    let mut owners = signalled.clone();
    if let Ok(feedback) = SourceSet::from_compact(BRIDGE_OWNER, &all) {
        owners.insert(BRIDGE_OWNER.to_owned(), feedback);
    }
    for content in &mut jingle.contents {
        let Some(media) = MediaType::from_name(&content.name) else {
            continue;
        };
        let Some(description) = content.description.as_mut() else {
            continue;
        };
        for (owner, set) in &owners {
            let (sources, groups) = set.to_xml(media, owner);
            description.sources.extend(sources);
            description.groups.extend(groups);
        }
    }
}
