//! Which connections there may be, from which addresses, and how long one may do nothing.
//!
//! A connection is idle while no request is in progress on it: before its handshake and its first request, too. Idle ones
//! have few places for each address and in all; when those are taken, the oldest of the address that has most is closed,
//! so that newcomers always get in. Connections that were upgraded are the business of whoever upgraded them.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Response, StatusCode};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use hyper_util::server::graceful::GracefulConnection;
use shares::{AddressClass, Buckets, Rate, Slot, Slots};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};

use crate::metrics::Counters;

/// Connections at one time.
const MOST: usize = 50_000;
/// Of those, connections of one address. A school of a thousand has three or four each at most.
const MOST_OF_ONE: usize = 8_192;
/// Idle connections at one time.
const IDLE: usize = 4_096;
/// Of those, idle connections of one address.
const IDLE_OF_ONE: usize = 1_024;
/// How often one address may connect.
const RATE: Rate = Rate {
    every: Duration::from_millis(10),
    burst: 4_000,
};
/// Addresses whose rates are remembered.
const MOST_RATES: usize = 16_384;
/// How long a connection may be idle.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long nothing may move on a connection on which a request is in progress. Some requests wait a minute for news.
const STALL: Duration = Duration::from_secs(120);
/// An HTTP/2 connection within which something was upgraded takes no further requests after so long, in which a page has asked
/// for all it begins with. Whoever has to connect anew, because the network has changed, must not be led to the connection
/// that is dead: browsers notice that late.
const RETIRES: Duration = Duration::from_secs(5);
/// How long a connection may take to end once it should.
const FAREWELL: Duration = Duration::from_secs(5);
/// The same where something was upgraded within it, which ends with its connection and not before.
const FAREWELL_UPGRADED: Duration = Duration::from_millis(200);

/// Trusted proxies carry many people, and are one holder without limits of their own.
type Holder = Option<AddressClass>;

struct Inner {
    open: usize,
    open_of: HashMap<AddressClass, usize>,
    rates: Buckets<AddressClass>,
    idle: Slots<Holder>,
    /// How idle connections learn that they have to end.
    signals: HashMap<Slot<Holder>, Arc<Notify>>,
}

/// Lets connections in; clones count together.
#[derive(Clone)]
pub(crate) struct Guard {
    inner: Arc<Mutex<Inner>>,
    counters: Counters,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Guard {
    pub(crate) fn new(counters: Counters) -> Self {
        let inner = Inner {
            open: 0,
            open_of: HashMap::new(),
            rates: Buckets::new(RATE, MOST_RATES),
            idle: Slots::new(IDLE, IDLE_OF_ONE),
            signals: HashMap::new(),
        };
        Self {
            inner: Arc::new(Mutex::new(inner)),
            counters,
        }
    }

    /// A connection from `address` has come; `None`, counted, when it may not.
    pub(crate) fn enter(&self, address: Holder) -> Option<Visit> {
        let now = Instant::now();
        if let Err(reason) = lock(&self.inner).enter(now.into_std(), address) {
            self.counters.refused(reason);
            return None;
        }
        let visit = Visit(Arc::new(VisitInner {
            guard: self.clone(),
            address,
            evicted: Arc::default(),
            upgraded: Notify::new(),
            activity: Mutex::default(),
            start: now,
            moved: AtomicU64::new(0),
        }));
        visit.rest(&mut lock(&visit.0.activity));
        Some(visit)
    }
}

impl Inner {
    fn enter(&mut self, now: std::time::Instant, address: Holder) -> Result<(), &'static str> {
        if self.open >= MOST {
            return Err("too-many-connections");
        }
        if let Some(address) = address {
            let own = self.open_of.get(&address).copied().unwrap_or(0);
            if own >= MOST_OF_ONE {
                return Err("address-connections");
            }
            self.rates.take(now, address).map_err(|_| "address-rate")?;
            self.open_of.insert(address, own + 1);
        }
        self.open += 1;
        Ok(())
    }

    fn leave(&mut self, address: Holder) {
        self.open -= 1;
        if let Some(address) = address
            && let Some(own) = self.open_of.get_mut(&address)
        {
            *own -= 1;
            if *own == 0 {
                self.open_of.remove(&address);
            }
        }
    }
}

#[derive(Default)]
struct Activity {
    /// Requests in progress, and streams of HTTP/2 that are open.
    busy: usize,
    /// Of these, streams.
    streams: usize,
    /// Its place among the idle ones.
    idle: Option<Slot<Holder>>,
}

impl Activity {
    /// Whether something that was upgraded is open within the connection: a stream without a request.
    fn is_upgraded(&self) -> bool {
        self.streams > self.busy - self.streams
    }
}

struct VisitInner {
    guard: Guard,
    address: Holder,
    evicted: Arc<Notify>,
    /// Something may have been upgraded.
    upgraded: Notify,
    activity: Mutex<Activity>,
    start: Instant,
    /// When bytes last moved, in milliseconds after `start`.
    moved: AtomicU64,
}

/// A connection that is counted as long as a clone of this exists.
#[derive(Clone)]
pub(crate) struct Visit(Arc<VisitInner>);

impl Visit {
    /// No request is in progress.
    fn rest(&self, activity: &mut Activity) {
        let mut inner = lock(&self.0.guard.inner);
        let (slot, evicted) = inner.idle.enter(self.0.address);
        if let Some(signal) = evicted.and_then(|evicted| inner.signals.remove(&evicted)) {
            signal.notify_one();
        }
        inner.signals.insert(slot, Arc::clone(&self.0.evicted));
        activity.idle = Some(slot);
    }

    /// A request is in progress until the result is dropped.
    pub(crate) fn begin(&self) -> Busy {
        self.work(0);
        Busy(Some(self.clone()))
    }

    /// What its connection has spawned for HTTP/2.
    pub(crate) fn streams(&self) -> Streams {
        Streams(self.clone())
    }

    /// Something more keeps it busy.
    fn work(&self, streams: usize) {
        let mut activity = lock(&self.0.activity);
        activity.busy += 1;
        activity.streams += streams;
        if let Some(slot) = activity.idle.take() {
            let mut inner = lock(&self.0.guard.inner);
            inner.idle.leave(slot);
            inner.signals.remove(&slot);
        }
    }

    /// Something that kept it busy is over.
    fn done(&self, streams: usize) {
        let mut activity = lock(&self.0.activity);
        activity.busy -= 1;
        activity.streams -= streams;
        if activity.is_upgraded() {
            self.0.upgraded.notify_one();
        }
        self.moves();
        if activity.busy == 0 {
            self.rest(&mut activity);
        }
    }

    fn is_upgraded(&self) -> bool {
        lock(&self.0.activity).is_upgraded()
    }

    /// Returns when something that was upgraded has been open for a while.
    async fn retires(&self) {
        loop {
            self.0.upgraded.notified().await;
            sleep(RETIRES).await;
            if self.is_upgraded() {
                return;
            }
        }
    }

    /// Returns when the connection has to make room for others.
    pub(crate) async fn evicted(&self) {
        self.0.evicted.notified().await;
        self.0.guard.counters.refused("made-room");
    }

    /// Returns when nothing has moved for too long.
    async fn over(&self) {
        loop {
            let busy = lock(&self.0.activity).busy > 0;
            let moved = Duration::from_millis(self.0.moved.load(Ordering::Relaxed));
            let due = self.0.start + moved + if busy { STALL } else { PATIENCE };
            if due <= Instant::now() {
                if busy {
                    self.0.guard.counters.refused("stalled");
                }
                return;
            }
            sleep_until(due).await;
        }
    }

    fn moves(&self) {
        let after = u64::try_from(self.0.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.moved.store(after, Ordering::Relaxed);
    }
}

impl Drop for VisitInner {
    fn drop(&mut self) {
        let slot = lock(&self.activity).idle.take();
        let mut inner = lock(&self.guard.inner);
        if let Some(slot) = slot {
            inner.idle.leave(slot);
            inner.signals.remove(&slot);
        }
        inner.leave(self.address);
    }
}

/// A request in progress.
pub(crate) struct Busy(Option<Visit>);

impl Busy {
    /// It goes on until the response is sent; for ever, when the connection is upgraded.
    pub(crate) fn until_sent(mut self, response: Response<Body>) -> Response<Body> {
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            self.0 = None;
            return response;
        }
        response.map(|body| Body::new(Sending { body, _busy: self }))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        if let Some(visit) = self.0.take() {
            visit.done(0);
        }
    }
}

/// Runs the streams of an HTTP/2 connection, each of which keeps it busy as long as it is open: a request, and what it was
/// upgraded to.
#[derive(Clone)]
pub(crate) struct Streams(Visit);

impl<F> hyper::rt::Executor<F> for Streams
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, stream: F) {
        let open = OpenStream::new(&self.0);
        tokio::spawn(async move {
            stream.await;
            drop(open);
        });
    }
}

struct OpenStream(Visit);

impl OpenStream {
    fn new(visit: &Visit) -> Self {
        visit.work(1);
        Self(visit.clone())
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.done(1);
    }
}

/// A body whose connection is busy with it.
struct Sending {
    body: Body,
    _busy: Busy,
}

impl HttpBody for Sending {
    type Data = bytes::Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A transport that notes when bytes move, and is counted as a connection as long as it exists.
pub(crate) struct Counted<S> {
    stream: S,
    visit: Visit,
}

impl<S> Counted<S> {
    pub(crate) fn new(stream: S, visit: Visit) -> Self {
        visit.moves();
        Self { stream, visit }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.visit.moves();
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if polled.is_ready() {
            self.visit.moves();
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        if polled.is_ready() {
            self.visit.moves();
        }
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// All connections that are told to end when the front stops.
pub(crate) struct Connections {
    stop: watch::Sender<bool>,
    open: mpsc::Sender<()>,
    done: mpsc::Receiver<()>,
}

impl Connections {
    pub(crate) fn new() -> Self {
        let (open, done) = mpsc::channel(1);
        Self {
            stop: watch::Sender::new(false),
            open,
            done,
        }
    }

    /// What a new connection needs.
    pub(crate) fn watcher(&self, visit: Visit) -> Watcher {
        Watcher {
            visit,
            stopping: self.stop.subscribe(),
            _open: self.open.clone(),
        }
    }

    /// Tells all to end and waits until they have.
    pub(crate) async fn shutdown(self) {
        let Self {
            stop,
            open,
            mut done,
        } = self;
        stop.send_replace(true);
        drop(open);
        let _ = done.recv().await;
    }
}

/// Ends one connection when it should.
pub(crate) struct Watcher {
    pub(crate) visit: Visit,
    stopping: watch::Receiver<bool>,
    _open: mpsc::Sender<()>,
}

impl Watcher {
    /// Drives a connection; requests in progress are finished when it is time to end.
    pub(crate) async fn watch<C: GracefulConnection>(
        mut self,
        connection: C,
    ) -> Result<(), C::Error> {
        tokio::pin!(connection);
        let mut retired = false;
        loop {
            tokio::select! {
                done = connection.as_mut() => return done,
                () = stopped(&mut self.stopping) => break,
                () = self.visit.over() => break,
                () = self.visit.retires(), if !retired => {
                    connection.as_mut().graceful_shutdown();
                    retired = true;
                }
            }
        }
        connection.as_mut().graceful_shutdown();
        let patience = match self.visit.is_upgraded() {
            true => FAREWELL_UPGRADED,
            false => FAREWELL,
        };
        tokio::select! {
            done = connection => done,
            () = sleep(patience) => Ok(()),
        }
    }
}

async fn stopped(stopping: &mut watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stopping| *stopping).await;
}

/// Runs what serves a connection until it has to make room.
pub(crate) async fn until_evicted(visit: Visit, serve: impl Future<Output = ()>) {
    tokio::select! {
        () = serve => {}
        () = visit.evicted() => {}
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use futures_util::FutureExt as _;
    use http_body_util::Empty;
    use hyper::Method;
    use hyper::Request;
    use hyper::body::{Bytes, Incoming};
    use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
    use hyper_util::server::conn::auto;

    use tokio::task::JoinHandle;

    use super::*;

    type Sender = hyper::client::conn::http2::SendRequest<Empty<Bytes>>;

    fn guard() -> Guard {
        Guard::new(Counters::default())
    }

    fn address(text: &str) -> Holder {
        Some(text.parse::<IpAddr>().unwrap().into())
    }

    #[test]
    fn idle_connections_of_one_address_make_room() {
        let guard = guard();
        let evicted = |visit: &Visit| visit.evicted().now_or_never().is_some();
        let crowd: Vec<Visit> = (0..IDLE_OF_ONE + 2)
            .map(|_| guard.enter(address("192.0.2.1")).unwrap())
            .collect();
        assert!(evicted(&crowd[0]) && evicted(&crowd[1]));
        assert!(!evicted(&crowd[2]));
        let other = guard.enter(address("192.0.2.2")).unwrap();
        // One that is busy is not idle.
        let busy = crowd[2].begin();
        drop(guard.enter(address("192.0.2.1")));
        assert!(!evicted(&crowd[2]) && !evicted(&crowd[3]) && !evicted(&other));
        drop(busy);
        drop(crowd);
        drop(other);
        let inner = lock(&guard.inner);
        assert_eq!((inner.open, inner.idle.taken()), (0, 0));
        assert!(inner.open_of.is_empty() && inner.signals.is_empty());
    }

    #[test]
    fn an_address_has_its_number_and_trusted_proxies_have_none() {
        let guard = guard();
        let mut held: Vec<Visit> = Vec::new();
        while let Some(visit) = guard.enter(address("2001:db8::1")) {
            held.push(visit);
            assert!(held.len() <= MOST_OF_ONE);
        }
        assert!(
            guard.enter(address("2001:db8::2")).is_none(),
            "its neighbour"
        );
        assert!(guard.enter(address("2001:db8:0:1::1")).is_some());
        held.extend((0..10_000).map(|_| guard.enter(None).unwrap()));
        assert!(held.len() > 10_000);
    }

    /// A connection of the front over a pipe, whose answers take `work`.
    fn serve(guard: &Guard, work: Duration) -> tokio::io::DuplexStream {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let visit = guard.enter(address("192.0.2.1")).unwrap();
        let connections = Connections::new();
        let watcher = connections.watcher(visit.clone());
        tokio::spawn(async move {
            let _connections = connections;
            let io = TokioIo::new(Counted::new(far, visit.clone()));
            let streams = visit.streams();
            let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
                let busy = visit.begin();
                let upgrades = request.method() == Method::CONNECT;
                if upgrades {
                    let upgraded = hyper::upgrade::on(&mut request);
                    tokio::spawn(async move {
                        let upgraded = upgraded.await;
                        sleep(work).await;
                        drop(upgraded);
                    });
                }
                async move {
                    let body = if upgrades {
                        Body::empty()
                    } else {
                        sleep(work).await;
                        Body::from("done")
                    };
                    Ok::<_, std::convert::Infallible>(busy.until_sent(Response::new(body)))
                }
            });
            let mut builder = auto::Builder::new(streams);
            builder.http1().timer(TokioTimer::new());
            builder
                .http2()
                .timer(TokioTimer::new())
                .enable_connect_protocol();
            let connection = builder.serve_connection_with_upgrades(io, service);
            let _ = watcher.watch(connection).await;
        });
        near
    }

    async fn ask(sender: &mut Sender) -> StatusCode {
        let request = Request::get("https://localhost/")
            .body(Empty::new())
            .unwrap();
        sender.send_request(request).await.unwrap().status()
    }

    /// A client of such a connection, and its end.
    async fn http2(guard: &Guard, work: Duration) -> (Sender, JoinHandle<hyper::Result<()>>) {
        let io = TokioIo::new(serve(guard, work));
        let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), io);
        let (sender, connection) = handshake.await.unwrap();
        (sender, tokio::spawn(connection))
    }

    /// A request for a WebSocket (RFC 8441, section 4).
    fn connect() -> Request<Empty<Bytes>> {
        let mut request = Request::connect("https://localhost/socket")
            .body(Empty::new())
            .unwrap();
        let websocket = hyper::ext::Protocol::from_static("websocket");
        request.extensions_mut().insert(websocket);
        request
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_http2_connection_is_closed_and_a_busy_one_is_not() {
        let guard = guard();
        let work = Duration::from_secs(90);
        let (mut sender, ended) = http2(&guard, work).await;
        let start = Instant::now();
        assert_eq!(ask(&mut sender).await, StatusCode::OK);
        assert!(start.elapsed() >= work, "a request may wait");
        let start = Instant::now();
        let _ = ended.await.unwrap();
        let idle = start.elapsed();
        assert!(idle >= PATIENCE && idle <= PATIENCE + FAREWELL, "{idle:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_http2_connection_is_busy_as_long_as_something_upgraded_is_open() {
        let guard = guard();
        let open = Duration::from_secs(90);
        let (mut sender, ended) = http2(&guard, open).await;
        // The settings of the other side come before its first answer.
        ask(&mut sender).await;
        let start = Instant::now();
        let answer = sender.send_request(connect()).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert!(start.elapsed() < open);
        assert_eq!(lock(&guard.inner).idle.taken(), 0);
        let upgraded = hyper::upgrade::on(answer).await.unwrap();
        let _ = ended.await.unwrap();
        let lived = start.elapsed();
        assert!(lived >= open && lived <= open + PATIENCE, "{lived:?}");
        drop(upgraded);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_connects_anew_is_not_led_to_the_connection_of_before() {
        let guard = guard();
        let (mut sender, ended) = http2(&guard, Duration::from_secs(60)).await;
        ask(&mut sender).await;
        let answer = sender.send_request(connect()).await.unwrap();
        let upgraded = hyper::upgrade::on(answer).await.unwrap();
        sleep(RETIRES * 2).await;
        let again = Request::get("https://localhost/")
            .body(Empty::new())
            .unwrap();
        assert!(
            sender.send_request(again).await.is_err(),
            "no further requests"
        );
        let mut io = TokioIo::new(upgraded);
        let mut byte = [0];
        let open = tokio::time::timeout(
            Duration::from_secs(40),
            tokio::io::AsyncReadExt::read(&mut io, &mut byte),
        );
        assert!(open.await.is_err(), "what was upgraded goes on");
        drop(io);
        let _ = ended.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_says_nothing_is_closed() {
        use tokio::io::AsyncReadExt as _;
        let guard = guard();
        let mut stream = serve(&guard, Duration::ZERO);
        let start = Instant::now();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        assert!(
            start.elapsed() <= PATIENCE + FAREWELL,
            "{:?}",
            start.elapsed()
        );
    }
}
