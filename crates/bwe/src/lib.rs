//! Send-side bandwidth estimation: what the path to one receiver carries, and the probes that ask it; and the receiving side
//! of it, for senders that measure nothing themselves.
//!
//! Follows the congestion control of libwebrtc (GoogCC) at revision `da2a3d6c4d` of 2024-12-09, which the crate `goog_cc`
//! 0.1.4 is a port of; that port is the oracle of the tests. The counterparts there:
//!
//! | here | there |
//! | --- | --- |
//! | [`Estimator`] | `goog_cc_network_control.cc` |
//! | [`Arriving`] | `remote_bitrate_estimator_abs_send_time.cc`, with the parts below |
//! | `groups` | `inter_arrival_delta.cc` |
//! | `trendline` | `trendline_estimator.cc` |
//! | `aimd`, `capacity` | `aimd_rate_control.cc`, `link_capacity_estimator.cc` |
//! | `delay` | `delay_based_bwe.cc` |
//! | `throughput` | `robust_throughput_estimator.cc` |
//! | `loss` | `loss_based_bwe_v2.cc` |
//! | `target` | `send_side_bandwidth_estimation.cc` |
//! | `alr` | `alr_detector.cc` |
//! | `probe` | `probe_controller.cc`, `probe_bitrate_estimator.cc` |
//!
//! Where this estimator differs, because it serves a bridge and not an encoder:
//!
//! - An encoder grows with the estimate, a bridge has layers: it sends less than the estimate for minutes, and needs a
//!   good deal more before it can send the next layer. So as long as the receiver wants more than the estimate, the path
//!   is probed every two seconds (there: every five, and only in the application-limited region).
//! - The probe after a drop does not depend on the application-limited region (there: the field trial
//!   `WebRTC-BweRapidRecoveryExperiment`).
//! - Of the loss-based part, byte loss without its two extreme observations counts, and the estimate is never below what
//!   arrives (there: parameters `UseByteLossRate`, `LowerBoundByAckedRateFactor`, `NewtonIterations` of the field trial
//!   `WebRTC-Bwe-LossBasedBweV2`): the bursts of a Wi-Fi network are no reason to stop sending.
//!   Losses older than a second do not keep the estimate from growing (there: than five).
//! - A queue that stands still is a reason to send less (`standing`); there no slope tells of it, and only the congestion
//!   window ends it.
//! - The estimate grows to what arrives and a quarter (there: a half), and not at all while less is sent than could be
//!   (there: the field trial `WebRTC-DontIncreaseDelayBasedBweInAlr`): what no packet has proved is left to probes.
//! - The congestion window and its pushback are left out, as is the separate detector for audio (off by default there).
//!
//! Times are microseconds of any one monotone clock, rates bits per second.

mod aimd;
mod alr;
mod arriving;
mod capacity;
mod delay;
mod estimator;
mod groups;
mod loss;
mod probe;
mod report;
mod standing;
mod target;
mod throughput;
mod trendline;

pub use arriving::Arriving;
pub use estimator::Estimator;
pub use report::{Acked, Config, Estimate, Probe, ProbeId, Usage};
