//! Bodies of HTTP requests: read up to a size, at a minimum speed, within a share of memory.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::http::StatusCode;
use http_body_util::BodyExt as _;
use shares::{AddressClass, Budget};
use tokio::time::{Instant, timeout_at};

use crate::metrics::Metrics;

/// How long the first bytes of a body may take.
const GRACE: Duration = Duration::from_secs(10);
/// Bytes per second a body must come with from then on.
const SLOWEST: u32 = 4 * 1024;
/// Bytes of bodies that may be in memory while they are read.
const MOST: usize = 32 * 1024 * 1024;
/// Of those, for one address.
const MOST_OF_ONE: usize = 4 * 1024 * 1024;

/// Memory for bodies on their way in. Clones share it.
#[derive(Clone)]
pub(crate) struct Bodies {
    budget: Arc<Mutex<Budget<Option<AddressClass>>>>,
    metrics: Metrics,
}

/// A body that is being read; its bytes count until this is dropped.
pub(crate) struct Reading<'a> {
    bodies: &'a Bodies,
    address: Option<AddressClass>,
    body: Body,
    start: Instant,
    bytes: Vec<u8>,
    taken: usize,
}

impl Bodies {
    pub(crate) fn new(metrics: Metrics) -> Self {
        Self {
            budget: Arc::new(Mutex::new(Budget::new(MOST, MOST_OF_ONE))),
            metrics,
        }
    }

    fn with<T>(&self, act: impl FnOnce(&mut Budget<Option<AddressClass>>) -> T) -> T {
        act(&mut self.budget.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Begins to read `body`, which came from `address`.
    pub(crate) fn open(&self, body: Body, address: Option<AddressClass>) -> Reading<'_> {
        Reading {
            bodies: self,
            address,
            body,
            start: Instant::now(),
            bytes: Vec::new(),
            taken: 0,
        }
    }

    /// Reads `body`, at most `most` bytes of it.
    ///
    /// # Errors
    /// The status to answer with: too large, too slow, too many at a time, or broken off.
    pub(crate) async fn read(
        &self,
        body: Body,
        most: usize,
        address: Option<AddressClass>,
    ) -> Result<Vec<u8>, StatusCode> {
        let mut reading = self.open(body, address);
        if reading.up_to(most).await? && reading.bytes.len() <= most {
            Ok(reading.into_bytes())
        } else {
            Err(self.refuse("body-too-large", StatusCode::PAYLOAD_TOO_LARGE))
        }
    }

    fn refuse(&self, reason: &'static str, status: StatusCode) -> StatusCode {
        self.metrics.refused(reason);
        status
    }
}

impl Reading<'_> {
    /// Reads until the body ends, which is true, or until there are more than `most` bytes.
    ///
    /// # Errors
    /// The status to answer with: too slow, too many at a time, or broken off.
    pub(crate) async fn up_to(&mut self, most: usize) -> Result<bool, StatusCode> {
        while self.bytes.len() <= most {
            let received = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
            let due = self.start + GRACE + Duration::from_secs(1) * received / SLOWEST;
            let frame = match timeout_at(due, self.body.frame()).await {
                Ok(None) => return Ok(true),
                Ok(Some(Ok(frame))) => frame,
                Ok(Some(Err(_))) => return Err(StatusCode::BAD_REQUEST),
                Err(_elapsed) => {
                    return Err(self.bodies.refuse("body-slow", StatusCode::REQUEST_TIMEOUT));
                }
            };
            let Some(data) = frame.data_ref() else {
                continue;
            };
            let (address, bytes) = (self.address, data.len());
            if !self.bodies.with(|budget| budget.take(address, bytes)) {
                return Err(self.bodies.refuse("bodies", StatusCode::TOO_MANY_REQUESTS));
            }
            self.taken += bytes;
            self.bytes.extend_from_slice(data);
        }
        Ok(false)
    }

    /// What was read so far.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What was read.
    pub(crate) fn into_bytes(mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        self.bodies
            .with(|budget| budget.give(self.address, self.taken));
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use bytes::Bytes;
    use futures_util::StreamExt as _;
    use futures_util::stream;

    use super::*;

    fn bodies() -> Bodies {
        Bodies::new(Metrics::default())
    }

    /// A body of `chunks` pieces, one every `every`, which then never ends.
    fn endless(chunks: usize, size: usize, every: Duration) -> Body {
        let pieces = stream::iter(0..chunks).then(move |_| async move {
            tokio::time::sleep(every).await;
            Ok::<_, std::io::Error>(Bytes::from(vec![b' '; size]))
        });
        Body::from_stream(pieces.chain(stream::pending()))
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stops_is_cut() {
        let bodies = bodies();
        let start = Instant::now();
        let read = bodies.read(endless(1, 249_000, Duration::ZERO), 256_000, None);
        assert_eq!(read.await, Err(StatusCode::REQUEST_TIMEOUT));
        let most = GRACE + Duration::from_secs(249_000 / u64::from(SLOWEST)) + GRACE;
        assert!(start.elapsed() < most, "{:?}", start.elapsed());
        let start = Instant::now();
        let read = bodies.read(
            Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>()),
            10,
            None,
        );
        assert_eq!(read.await, Err(StatusCode::REQUEST_TIMEOUT));
        assert_eq!(start.elapsed(), GRACE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_trickle_is_cut_and_a_slow_line_is_not() {
        let bodies = bodies();
        let trickle = endless(10_000, 10, Duration::from_secs(1));
        let read = bodies.read(trickle, 256_000, None);
        assert_eq!(read.await, Err(StatusCode::REQUEST_TIMEOUT));
        let slow = stream::iter(0..40).then(|_| async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Ok::<_, std::io::Error>(Bytes::from(vec![b' '; 5_000]))
        });
        let read = bodies.read(Body::from_stream(slow), 256_000, None);
        assert_eq!(read.await.map(|bytes| bytes.len()), Ok(200_000));
    }

    #[tokio::test(start_paused = true)]
    async fn two_hundred_held_bodies_of_one_address_stay_within_its_share() {
        let bodies = bodies();
        let address = |text: &str| Some(text.parse::<IpAddr>().expect("address").into());
        let crowd = (0..200).map(|_| {
            let body = endless(1, 249_000, Duration::ZERO);
            bodies.read(body, 256_000, address("192.0.2.1"))
        });
        let crowd = futures_util::future::join_all(crowd);
        let other = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let held = bodies.with(|budget| budget.taken());
            assert!(held > 0 && held <= MOST_OF_ONE, "{held}");
            let body = Body::from(vec![b' '; 249_000]);
            bodies.read(body, 256_000, address("192.0.2.2")).await
        };
        let (crowd, other) = tokio::join!(crowd, other);
        assert_eq!(other.map(|bytes| bytes.len()), Ok(249_000));
        assert!(crowd.contains(&Err(StatusCode::TOO_MANY_REQUESTS)));
        assert!(crowd.contains(&Err(StatusCode::REQUEST_TIMEOUT)));
        assert_eq!(bodies.with(|budget| budget.taken()), 0);
    }
}
