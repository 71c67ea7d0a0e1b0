//! How clients of a [`World`] join.

use super::camera::Camera;
use super::*;

pub(crate) fn payload(id: u8, kind: MediaKind, name: &str) -> PayloadType {
    let feedback = [("nack", ""), ("nack", "pli"), ("transport-cc", "")];
    let feedback = feedback.map(|(a, b)| (a.to_owned(), b.to_owned())).to_vec();
    let parameters = match name {
        "rtx" => vec![("apt".to_owned(), (id + RTX_BELOW).to_string())],
        _ => Vec::new(),
    };
    let clock_rate = if kind == MediaKind::Audio {
        48_000
    } else {
        90_000
    };
    PayloadType {
        id,
        kind,
        name: name.to_owned(),
        clock_rate,
        parameters,
        feedback,
    }
}

impl World {
    /// What is told of a client before it comes.
    pub(super) fn spec(
        &self,
        name: &str,
        audio_ssrc: u32,
        camera: Option<&Camera>,
        rewriting: bool,
    ) -> EndpointSpec {
        let mut spec = EndpointSpec::new(endpoint_id(name));
        spec.ssrc_rewriting = rewriting;
        spec.sound_ahead = self.sound_ahead;
        spec.sctp = false;
        spec.payload_types = vec![
            payload(VP8, MediaKind::Video, "VP8"),
            payload(rtx_of(VP8), MediaKind::Video, "rtx"),
            payload(rtx_of(VP9), MediaKind::Video, "rtx"),
            payload(rtx_of(H264), MediaKind::Video, "rtx"),
            payload(rtx_of(AV1), MediaKind::Video, "rtx"),
            payload(VP9, MediaKind::Video, "VP9"),
            payload(H264, MediaKind::Video, "H264"),
            payload(AV1, MediaKind::Video, "AV1"),
            payload(OPUS, MediaKind::Audio, "opus"),
        ];
        if self.red {
            spec.payload_types
                .push(payload(RED, MediaKind::Audio, "red"));
        }
        if self.remb {
            let feedback = spec.payload_types.iter_mut().flat_map(|p| &mut p.feedback);
            for (kind, _) in feedback.filter(|(kind, _)| kind == "transport-cc") {
                "goog-remb".clone_into(kind);
            }
        }
        let extensions = [
            (
                SEND_TIME,
                "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
            ),
            (1, "urn:ietf:params:rtp-hdrext:ssrc-audio-level"),
            (
                5,
                "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
            ),
            (
                DESCRIPTOR,
                "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension",
            ),
        ];
        spec.header_extensions = extensions
            .into_iter()
            .filter(|(id, _)| self.remb || *id != SEND_TIME)
            .map(|(id, uri)| HeaderExtension {
                id,
                uri: uri.into(),
            })
            .collect();
        spec.sources.push(
            Source::from_groups(
                source_name(&format!("{name}-a0")),
                MediaKind::Audio,
                VideoType::Camera,
                &[audio_ssrc],
                &[],
            )
            .unwrap(),
        );
        if let Some(camera) = camera {
            spec.sources.push(camera.source(&format!("{name}-v0")));
        }
        spec
    }

    /// Creates an endpoint and tells it of its client; the client's transport.
    pub(super) fn connect(&mut self, spec: EndpointSpec, address: SocketAddr) -> Transport {
        let (now, at, id) = (self.now, self.join_at, spec.id.clone());
        let local = self.timed(|world| world.shard_at(at).create_endpoint(now, CONFERENCE, spec));
        let mut config =
            TransportConfig::new(vec![Candidate::host(address, 1)], self.certificate.clone());
        config.controlling = false;
        let mut transport = Transport::new(now, config, &mut self.rng);
        let remote = |l: rtc::LocalParameters, setup| RemoteParameters {
            credentials: Some((l.ufrag, l.pwd)),
            candidates: l.candidates,
            fingerprints: vec![l.fingerprint],
            setup: Some(setup),
            ..RemoteParameters::default()
        };
        let own = transport.local();
        transport.set_remote(now, remote(local.unwrap(), Setup::Passive));
        let update = EndpointUpdate {
            remote: Some(remote(own, Setup::Active)),
            ..EndpointUpdate::default()
        };
        self.timed(|world| {
            world
                .shard_at(at)
                .update_endpoint(now, CONFERENCE, &id, update)
        })
        .unwrap();
        transport
    }

    fn timed<R>(&mut self, call: impl FnOnce(&mut Self) -> R) -> R {
        let Some(clock) = self.clock else {
            return call(self);
        };
        let start = clock();
        let result = call(self);
        self.held.push(clock() - start);
        result
    }
}
