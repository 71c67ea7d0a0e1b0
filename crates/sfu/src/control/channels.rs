//! Who still has no bridge channel a while after its transport came up: no messages reach it, and none come from it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::Controller;
use crate::media::{ConferenceId, EndpointId, RelayId};

/// By then a channel should be open.
const DELAY: Duration = Duration::from_secs(30);

/// Who has a transport.
#[derive(Debug)]
pub(super) enum Connected {
    Endpoint(EndpointId),
    Relay(RelayId),
}

/// Transports that came up lately, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Expected(VecDeque<(Instant, ConferenceId, Connected)>);

impl Expected {
    /// A transport came up.
    pub(super) fn add(&mut self, now: Instant, conference: ConferenceId, who: Connected) {
        self.0.push_back((now + DELAY, conference, who));
    }

    fn take_due(&mut self, now: Instant) -> Option<(ConferenceId, Connected)> {
        let (_, conference, who) = self.0.pop_front_if(|(due, ..)| *due <= now)?;
        Some((conference, who))
    }
}

impl Controller {
    /// Counts those who are there and have no channel.
    pub(super) fn look_for_channels(&mut self, now: Instant) {
        while let Some((conference, who)) = self.expected.take_due(now) {
            let Some(meeting) = self.meetings.get(&conference) else {
                continue;
            };
            match who {
                Connected::Endpoint(id) => {
                    let member = meeting.members.get(&id);
                    let without = member.is_some_and(|member| member.path().is_none());
                    self.stats.endpoints_without_channel += u64::from(without);
                }
                Connected::Relay(id) => {
                    let neighbour = meeting.neighbours.get(&id);
                    let without = neighbour.is_some_and(|neighbour| !neighbour.open);
                    self.stats.relays_without_channel += u64::from(without);
                }
            }
        }
    }
}
