//! Whether media ports of another bridge answer, for a focus that does not reach that bridge itself.
#![allow(clippy::disallowed_methods, reason = "timers are tokio's")]

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use stanza::colibri2::ErrorAnswer;
use stanza::jitsi::evidence::Probe;
use stanza::{Element, element, iq, ns};
use tokio::net::UdpSocket;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::shared::Shared;

/// Questions to each port: a datagram may be lost.
const QUESTIONS: u32 = 3;
/// After each. Whoever has answered none in all this time does not answer.
const PATIENCE: Duration = Duration::from_millis(65);

/// Asks the ports and answers `request`, once the first has answered or none did.
pub(crate) fn answer(
    shared: &Shared,
    request: &Element,
    probe: Probe,
    send: impl Fn(Element) + Send + 'static,
) {
    let Ok(permit) = Arc::clone(&shared.probes).try_acquire_owned() else {
        let busy = ErrorAnswer::plain("resource-constraint", "Too many questions at one time");
        return send(busy.reply_to(request));
    };
    let request = element("iq", ns::CLIENT)
        .attr_opt("id", request.attr("id"))
        .attr_opt("from", request.attr("from"))
        .done();
    tokio::spawn(async move {
        let _permit = permit;
        let answered = any_answers(probe.addresses).await;
        send(iq::result_to(&request, Some(Probe::answer(answered))));
    });
}

/// The first of these ports that does not answer.
pub(crate) async fn first_silent(ports: &[SocketAddr]) -> Option<SocketAddr> {
    for &port in ports {
        if !answers(port).await.unwrap_or(false) {
            return Some(port);
        }
    }
    None
}

/// Whether one of the ports answers.
async fn any_answers(addresses: Vec<SocketAddr>) -> bool {
    let mut asked: JoinSet<bool> = JoinSet::new();
    for address in addresses {
        asked.spawn(async move { answers(address).await.unwrap_or(false) });
    }
    while let Some(answered) = asked.join_next().await {
        if answered.unwrap_or(false) {
            return true;
        }
    }
    false
}

/// Whether the port answers. A port that is closed says so at once, where no firewall keeps it from that.
async fn answers(address: SocketAddr) -> io::Result<bool> {
    let any = match address {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(address).await?;
    let transaction: rtc::echo::Transaction = rand::random();
    let question = rtc::echo::question(&transaction);
    let mut answer = [0; 128];
    for _ in 0..QUESTIONS {
        socket.send(&question).await?;
        let heard = timeout(PATIENCE, async {
            loop {
                let len = socket.recv(&mut answer).await?;
                if rtc::echo::is_answer(&answer[..len], &transaction) {
                    return Ok::<_, io::Error>(());
                }
            }
        });
        match heard.await {
            Ok(heard) => return heard.map(|()| true),
            Err(_elapsed) => {}
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_that_answers_is_told_from_one_that_does_not() {
        let local = || UdpSocket::bind((Ipv4Addr::LOCALHOST, 0));
        let (good, deaf, closed) = (
            local().await.unwrap(),
            local().await.unwrap(),
            local().await.unwrap(),
        );
        let at = |socket: &UdpSocket| socket.local_addr().unwrap();
        let (alive, silent, shut) = (at(&good), at(&deaf), at(&closed));
        drop(closed);
        tokio::spawn(async move {
            let mut bytes = [0; 128];
            loop {
                let (len, from) = good.recv_from(&mut bytes).await.unwrap();
                if let Some((answer, len)) = rtc::echo::answer(&bytes[..len], from) {
                    good.send_to(&answer[..len], from).await.unwrap();
                }
            }
        });
        assert!(any_answers(vec![silent, alive]).await);
        assert!(!any_answers(vec![silent, shut]).await);
        assert!(!any_answers(Vec::new()).await);
    }
}
