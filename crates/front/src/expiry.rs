//! Until when the certificate of HTTPS holds, as a metric.

use std::fmt;
use std::time::SystemTime;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::gauge::ConstGauge;
use telemetry::Metrics;

use crate::served::Certificates;

/// Registers it.
pub(crate) fn register(metrics: &Metrics, certificates: Certificates) {
    let collector = Expiry(certificates);
    metrics.register(|r| r.register_collector(Box::new(collector)));
}

struct Expiry(Certificates);

impl fmt::Debug for Expiry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Expiry")
    }
}

impl Collector for Expiry {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Some((_, end)) = self.0.current().validity() else {
            return Ok(());
        };
        let end = end.duration_since(SystemTime::UNIX_EPOCH);
        let gauge = ConstGauge::new(end.unwrap_or_default().as_secs_f64());
        let encoder = encoder.encode_descriptor(
            "front_certificate_expires",
            "When the certificate of HTTPS ends, seconds since 1970",
            None,
            gauge.metric_type(),
        )?;
        gauge.encode(encoder)
    }
}
