//! The state of an endpoint as JSON, for whoever asks why somebody sees what they see.

use serde_json::{Value, json};
use sfu::{EndpointStats, LineSample, LineStats, StreamStats};

/// Everything about an endpoint.
pub(crate) fn endpoint(visitor: bool, stats: &EndpointStats) -> Value {
    json!({
        "visitor": visitor,
        "connected": stats.connected,
        "active": stats.active,
        "rtt_ms": stats.rtt_us.map(|us| us as f64 / 1_000.0),
        "loss": stats.loss,
        "received": {"packets": stats.packets_received, "bytes": stats.bytes_received},
        "sent": {"packets": stats.packets_sent, "bytes": stats.bytes_sent},
        "transport": {
            "path_changes": stats.transport.path_changes,
            "dtls_in_checks": stats.transport.dtls_embedded,
            "sctp_signalled": stats.transport.sctp_signalled,
            "dropped": {
                "stun": stats.transport.stun_dropped,
                "dtls": stats.transport.dtls_dropped,
                "channel": stats.transport.channel_dropped,
            },
        },
        "line": line(&stats.line),
    })
}

/// Rates are bits per second, times milliseconds.
fn line(line: &LineStats) -> Value {
    json!({
        "estimate": line.estimate,
        "estimate_by_delay": line.by_delay,
        "estimate_by_loss": line.by_loss,
        "arrives": line.arrives,
        "for_video": line.for_video,
        "taken": line.taken,
        "ideal": line.ideal,
        "limited": line.is_limited,
        "held_ms": line.held / 1_000,
        "waiting": {"packets": line.waiting, "oldest_ms": line.waiting_for / 1_000},
        "streams": line.streams.iter().map(|s| stream(line, s)).collect::<Vec<_>>(),
        "series": line.series.iter().map(sample).collect::<Vec<_>>(),
    })
}

fn stream(line: &LineStats, stream: &StreamStats) -> Value {
    let target = stream.target.map(|(height, temporal, rate)| {
        json!({"height": height, "temporal_layer": (temporal < 7).then_some(temporal), "rate": rate})
    });
    json!({
        "source": stream.source.as_str(),
        "wanted_height": stream.wanted,
        "on_stage": stream.on_stage,
        "target": target,
        "best": {"height": stream.best.0, "rate": stream.best.1},
        "steps": stream.steps.iter().map(|(height, temporal, rate)| json!([height, temporal, rate])).collect::<Vec<_>>(),
        "why": why(line, stream),
    })
}

/// Why it is sent this and not more, in words.
fn why(line: &LineStats, stream: &StreamStats) -> String {
    if !stream.arrived {
        return "waits for a key frame of the layer".to_owned();
    }
    match stream.missing {
        None => "the best layer that is wanted and published".to_owned(),
        Some(_) if line.held > 0 => format!(
            "less fitted a moment ago; more is tried in {} ms",
            line.held / 1_000
        ),
        Some(missing) => format!(
            "the next layer takes {missing} bit/s more, of {} free",
            line.for_video.unwrap_or(0).saturating_sub(line.taken)
        ),
    }
}

fn sample(sample: &LineSample) -> Value {
    json!({
        "ago_ms": sample.ago / 1_000,
        "estimate": sample.estimate,
        "for_video": sample.for_video,
        "sent": sample.sent,
        "taken": sample.taken,
        "ideal": sample.ideal,
        "heights": sample.heights,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use sfu::SourceName;

    #[test]
    fn it_says_why_not_more() {
        let stream = |target, arrived, missing| StreamStats {
            source: SourceName::new("ada-v0").unwrap(),
            wanted: 720,
            on_stage: true,
            target,
            arrived,
            best: (720, 1_500_000),
            missing,
            steps: Vec::new(),
        };
        let line = |held| LineStats {
            for_video: Some(700_000),
            taken: 500_000,
            held,
            ..LineStats::default()
        };
        let small = Some((360, 7, 500_000));
        assert_eq!(
            why(&line(0), &stream(small, true, Some(1_187_500))),
            "the next layer takes 1187500 bit/s more, of 200000 free"
        );
        assert_eq!(
            why(&line(900_000), &stream(None, true, Some(168_750))),
            "less fitted a moment ago; more is tried in 900 ms"
        );
        assert_eq!(
            why(&line(0), &stream(small, false, None)),
            "waits for a key frame of the layer"
        );
        let best = super::stream(&line(0), &stream(Some((720, 7, 1_500_000)), true, None));
        assert_eq!(best["target"]["height"], 720);
        assert_eq!(best["target"]["temporal_layer"], Value::Null);
        assert_eq!(best["why"], "the best layer that is wanted and published");
    }
}
