//! `/http-bind`: streams over HTTP requests (XEP-0124).

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use stanza::xml::Limits;
use stanza::{Element, ns, xml};
use stream::bosh::{BoshConfig, RequestToken, Session, Terminal, terminate_body};
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep_until;
use xmpp::WebQuery;

use crate::body::Bodies;
use crate::gate::{Open, Place};
use crate::peer::{Context, Next, Peer};
use crate::server_task::Inbox;
use crate::web::{self, Address};
use crate::{now, random_token};

/// Requests of one session that may wait for its task.
const QUEUE: usize = 8;

struct Request {
    body: Element,
    bytes: usize,
    answer: oneshot::Sender<Vec<u8>>,
}

/// The way to a session's task.
#[derive(Clone)]
struct Handle {
    requests: mpsc::Sender<Request>,
    /// Whether its peer has logged in, and so may send more at a time.
    known: Arc<AtomicBool>,
}

/// The sessions of a node, by their id.
#[derive(Clone, Default)]
pub(crate) struct Sessions(Arc<Mutex<HashMap<String, Handle>>>);

impl Sessions {
    fn with<T>(&self, act: impl FnOnce(&mut HashMap<String, Handle>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What the route needs.
#[derive(Clone)]
pub(crate) struct Bosh {
    pub(crate) context: Context,
    pub(crate) sessions: Sessions,
    pub(crate) bodies: Bodies,
}

/// Answers a request of a session, or opens one.
pub(crate) async fn handle(
    State(bosh): State<Bosh>,
    address: Address,
    Query(parameters): Query<HashMap<String, String>>,
    method: Method,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let mut response = match method {
        Method::POST => post(bosh, address, &parameters, &headers, body).await,
        Method::OPTIONS => StatusCode::OK.into_response(),
        _ => "BOSH (XEP-0124) is here: POST to it.\n".into_response(),
    };
    web::cross_origin(response.headers_mut());
    response
}

async fn post(
    bosh: Bosh,
    address: Address,
    parameters: &HashMap<String, String>,
    headers: &HeaderMap,
    body: Body,
) -> Response {
    let read = match read(&bosh, address, body).await {
        Ok(read) => read,
        Err(response) => return response,
    };
    let parsed = xml::parse(&read.bytes, &read.limits)
        .ok()
        .filter(|body| body.is("body", ns::HTTP_BIND));
    let Some(body) = parsed else {
        return bad_request(&bosh);
    };
    let (answer, answered) = oneshot::channel();
    let request = Request {
        body,
        bytes: read.bytes.len(),
        answer,
    };
    let taken = match read.session {
        Some(session) => session.requests.send(request).await.is_ok(),
        None if request.body.attr("sid").is_some() => false,
        None => match bosh.context.gate.enter(now(), address.class()) {
            Ok(place) => {
                let query = web::query(parameters, headers, address);
                open(&bosh, query, place, request);
                true
            }
            Err(reason) => {
                bosh.context.metrics.refused(reason);
                return web::busy();
            }
        },
    };
    if !taken {
        return xml_response(terminate_body(Terminal::ItemNotFound));
    }
    match answered.await {
        Ok(body) => xml_response(body),
        Err(_) => xml_response(terminate_body(Terminal::ItemNotFound)),
    }
}

/// A request as far as it is worth reading.
struct Read {
    bytes: Vec<u8>,
    session: Option<Handle>,
    limits: Limits,
}

/// Reads a request: of somebody who has not logged in no more than what a login takes. Whose it is stands in its first tag.
async fn read(bosh: &Bosh, address: Address, body: Body) -> Result<Read, Response> {
    let refused = |status: StatusCode| status.into_response();
    let stranger = bosh.context.streams.web.unauthenticated;
    let mut reading = bosh.bodies.open(body, address.class());
    let mut whole = reading.up_to(stranger.bytes).await.map_err(refused)?;
    if reading.bytes().is_empty() {
        return Err(bad_request(bosh));
    }
    // A tag that is not complete within these limits is no request of ours.
    let Ok(root) = xml::root(reading.bytes(), &stranger) else {
        return Err(bad_request(bosh));
    };
    let session = root
        .attr("sid")
        .and_then(|sid| bosh.sessions.with(|sessions| sessions.get(sid).cloned()));
    let known = session
        .as_ref()
        .is_some_and(|session| session.known.load(Ordering::Relaxed));
    let limits = if known { Limits::CLIENT } else { stranger };
    if !whole && known {
        whole = reading.up_to(limits.bytes).await.map_err(refused)?;
    }
    if !whole || reading.bytes().len() > limits.bytes {
        bosh.context.metrics.refused("bosh-request-too-large");
        return Err(StatusCode::PAYLOAD_TOO_LARGE.into_response());
    }
    Ok(Read {
        bytes: reading.into_bytes(),
        session,
        limits,
    })
}

fn bad_request(bosh: &Bosh) -> Response {
    bosh.context.metrics.refused("bosh-bad-request");
    xml_response(terminate_body(Terminal::BadRequest))
}

fn xml_response(body: Vec<u8>) -> Response {
    let mut response = body.into_response();
    let xml = HeaderValue::from_static("text/xml; charset=utf-8");
    response.headers_mut().insert("content-type", xml);
    response
}

/// Opens a session.
fn open(bosh: &Bosh, query: WebQuery, place: Place, first: Request) {
    let sid = random_token();
    let (sender, requests) = mpsc::channel(QUEUE);
    let known = Arc::new(AtomicBool::new(false));
    let handle = Handle {
        requests: sender,
        known: Arc::clone(&known),
    };
    bosh.sessions
        .with(|sessions| sessions.insert(sid.clone(), handle));
    tokio::spawn(run(
        bosh.clone(),
        sid,
        query,
        place,
        first,
        (requests, known),
    ));
}

async fn run(
    bosh: Bosh,
    sid: String,
    query: WebQuery,
    place: Place,
    first: Request,
    (requests, known): (mpsc::Receiver<Request>, Arc<AtomicBool>),
) {
    let _open = bosh.context.metrics.connection("bosh");
    let Place {
        connection,
        stranger,
    } = place;
    let token = RequestToken(0);
    let streams = &bosh.context.streams.web;
    let config = BoshConfig::default();
    let made = Session::create(
        streams,
        config,
        now(),
        rand::random(),
        &sid,
        token,
        &first.body,
        first.bytes,
    );
    match made {
        Ok(session) => {
            let (peer, inbox) = Peer::browser(&bosh.context, query, stranger).await;
            let mut task = Task {
                session,
                peer,
                inbox,
                requests,
                known,
                answers: HashMap::from([(token, first.answer)]),
                next_token: 1,
                _place: connection,
            };
            task.drive().await;
            task.peer.finish().await;
        }
        Err(reason) => {
            let _ = first.answer.send(terminate_body(reason));
        }
    }
    bosh.sessions.with(|sessions| sessions.remove(&sid));
}

struct Task {
    session: Session,
    peer: Peer,
    inbox: Inbox,
    requests: mpsc::Receiver<Request>,
    known: Arc<AtomicBool>,
    answers: HashMap<RequestToken, oneshot::Sender<Vec<u8>>>,
    next_token: u64,
    _place: Open,
}

impl Task {
    async fn drive(&mut self) {
        let overflow = self.inbox.overflow();
        let evicted = self.peer.evicted();
        tokio::pin!(overflow, evicted);
        loop {
            let next = self.settle().await;
            if next != Next::Continue || self.session.is_finished() {
                return;
            }
            let pause = self.peer.paused_until();
            let due = [self.session.poll_timeout(), pause]
                .into_iter()
                .flatten()
                .min();
            let next = tokio::select! {
                request = self.requests.recv(), if pause.is_none() => {
                    if let Some(request) = request {
                        self.on_request(request).await;
                    }
                    Next::Continue
                }
                reply = self.inbox.recv() => match reply {
                    Some(reply) => self.on_replies(reply),
                    None => Next::Drop,
                },
                () = &mut overflow => Next::Drop,
                () = &mut evicted => self.peer.made_room(),
                () = async { sleep_until(due.unwrap_or_else(now).into()).await }, if due.is_some() => {
                    self.on_timeout(now());
                    Next::Continue
                }
            };
            if next != Next::Continue {
                return;
            }
        }
    }

    fn on_timeout(&mut self, now: Instant) {
        if self.session.poll_timeout().is_some_and(|due| due <= now) {
            self.session.handle_timeout(now);
        }
    }

    async fn on_request(&mut self, request: Request) {
        let token = RequestToken(self.next_token);
        self.next_token += 1;
        self.answers.insert(token, request.answer);
        self.peer.charge(request.bytes);
        self.peer.heard().await;
        self.session
            .handle_request(now(), token, &request.body, request.bytes);
    }

    fn on_replies(&mut self, first: crate::server_task::Reply) -> Next {
        let mut reply = Some(first);
        while let Some(taken) = reply {
            match self.peer.on_reply(self.session.server(), taken) {
                Next::Continue => {}
                next => return next,
            }
            reply = self.inbox.try_recv();
        }
        Next::Continue
    }

    /// Passes events on and answers requests until nothing is left to do.
    async fn settle(&mut self) -> Next {
        let mut last = Next::Continue;
        loop {
            self.session.flush(now());
            let Some(event) = self.session.poll_event() else {
                break;
            };
            match self.peer.on_event(event).await {
                Next::Continue => {}
                next => last = next,
            }
        }
        if self.session.server().is_authenticated() {
            self.known.store(true, Ordering::Relaxed);
        }
        while let Some((token, body)) = self.session.poll_response() {
            if let Some(answer) = self.answers.remove(&token) {
                let _ = answer.send(body);
            }
        }
        last
    }
}
