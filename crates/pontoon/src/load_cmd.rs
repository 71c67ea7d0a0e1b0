//! `pontoon load`: synthetic people on a server, and what they see of it.

use std::fs::File;
use std::io::{self, IsTerminal as _, Write as _};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bot::load::{People, Plan, Report, Sample};
use bot::{Layout, Local};

use crate::args::{LoadArgs, LoadLayout};
use crate::failure::Failure;
use crate::say::say;
use crate::signals::Ending;

/// Port of HTTPS where none is given.
const HTTPS: u16 = 443;
/// Descriptors this process needs besides those of people.
const SPARE_DESCRIPTORS: usize = 100;
/// Where nobody watches live, a line comes this often, seconds.
const QUIET: usize = 10;

/// Runs until the plan is done, or until told to end; then reports.
pub(crate) async fn run(args: LoadArgs, domain: String) -> Result<(), Failure> {
    let mut ending = Ending::new()?;
    let plan = plan(&args, domain)?;
    plan.check().map_err(Failure::start)?;
    check_descriptors(&plan)?;
    // A report that cannot be written is known before an hour's run, not after.
    for file in [&args.json, &args.html].into_iter().flatten() {
        write(file, "")?;
    }
    let mut people = args.people.as_deref().map(PeopleLog::open).transpose()?;
    let stop = Arc::new(AtomicBool::new(false));
    let runtime = tokio::runtime::Handle::current();
    let working = {
        let (plan, stop) = (plan.clone(), stop.clone());
        tokio::task::spawn_blocking(move || {
            let mut progress = Progress::default();
            let watch = &mut |seen: &Sample, each: Option<&People>| {
                progress.show(seen);
                if let (Some(log), Some(each)) = (&mut people, each) {
                    log.write(each);
                }
            };
            let report = bot::load::run(&plan, &runtime, &stop, watch);
            progress.end();
            report
        })
    };
    tokio::pin!(working);
    let report = tokio::select! {
        report = &mut working => report,
        () = ending.wait() => {
            stop.store(true, Ordering::Relaxed);
            working.await
        }
    };
    let report = report
        .map_err(|error| Failure::start(format!("the load broke off: {error}")))?
        .map_err(Failure::start)?;
    tell(&args, &report)
}

fn tell(args: &LoadArgs, report: &Report) -> Result<(), Failure> {
    if let Some(file) = &args.json {
        write(file, &report.to_json())?;
    }
    if let Some(file) = &args.html {
        write(file, &bot::load::html(report))?;
    }
    say(report.summary().trim_end())?;
    if report.joins() > 0 {
        return Ok(());
    }
    Err(Failure::start(if report.kept_back() {
        "the bridge is on another machine than this one, and got no media; if whoever runs it has agreed, say so with --i-am-allowed-to".to_owned()
    } else {
        format!(
            "nobody could join: {}",
            report.trouble().unwrap_or("there was no time for it")
        )
    }))
}

fn plan(args: &LoadArgs, domain: String) -> Result<Plan, Failure> {
    let (host, address) = resolve(&args.server)?;
    let own = is_own(address.ip());
    if !own && !args.i_am_allowed_to {
        return Err(Failure::start(format!(
            "{host} is not this machine; if whoever runs it has agreed to the load, say so with --i-am-allowed-to"
        )));
    }
    let layout = match args.layout {
        LoadLayout::Stage => Layout::Stage {
            height: args.height,
            others: args.height.min(180),
            last_n: args.last_n,
        },
        LoadLayout::Tiles => Layout::Tiles {
            height: args.height,
            last_n: args.last_n,
        },
        LoadLayout::None => Layout::Tiles {
            height: 0,
            last_n: 0,
        },
    };
    Ok(Plan {
        host,
        address: address.ip(),
        port: address.port(),
        domain,
        local: if own {
            Local::Loopback
        } else {
            Local::Address(route_to(address)?)
        },
        abroad: args.i_am_allowed_to,
        room: args.room.clone(),
        rooms: args.rooms,
        senders: args.senders,
        receivers: args.receivers,
        layers: args.layers,
        frame_rate: args.frame_rate,
        audio: !args.no_audio,
        layout,
        ramp: args.ramp,
        churn: args.churn,
        speaker_change: Duration::from_secs(args.speaker_change),
        duration: Duration::from_secs(args.duration),
        threads: args.threads,
        count: args.count,
        each: args.people.is_some(),
        seed: args.seed,
    })
}

/// The name as it was given without its port, and the first address behind it: one of this machine if there is one.
fn resolve(server: &str) -> Result<(String, SocketAddr), Failure> {
    let bare = server.trim_start_matches("https://").trim_end_matches('/');
    let with_port = if bare.parse::<IpAddr>().is_ok() || !has_port(bare) {
        (bare.trim_matches(['[', ']']).to_owned(), HTTPS)
    } else {
        let (host, port) = bare.rsplit_once(':').unwrap_or((bare, ""));
        let port = port.parse().map_err(|_| {
            Failure::start(format!("{server:?} is no server: write HOST or HOST:PORT"))
        })?;
        (host.trim_matches(['[', ']']).to_owned(), port)
    };
    let host = with_port.0.clone();
    let found: Vec<SocketAddr> = with_port
        .to_socket_addrs()
        .map_err(|error| Failure::start(format!("there is no server {host:?}: {error}")))?
        .collect();
    let own = found.iter().find(|address| is_own(address.ip()));
    let first = own.or(found.first()).copied();
    first
        .map(|address| (host.clone(), address))
        .ok_or_else(|| Failure::start(format!("the name {host:?} has no address")))
}

fn has_port(server: &str) -> bool {
    server
        .rsplit_once(':')
        .is_some_and(|(_, port)| !port.contains(']'))
}

fn is_own(address: IpAddr) -> bool {
    address.is_loopback() || net::local_addresses().contains(&address)
}

/// The address of this machine that datagrams to another one come from.
fn route_to(address: SocketAddr) -> Result<IpAddr, Failure> {
    let any: SocketAddr = if address.is_ipv4() {
        ([0, 0, 0, 0], 0).into()
    } else {
        ([0_u16; 8], 0).into()
    };
    // Connecting a UDP socket sends nothing.
    let local = UdpSocket::bind(any).and_then(|socket| {
        socket.connect(address)?;
        socket.local_addr()
    });
    local
        .map(|local| local.ip())
        .map_err(|error| Failure::start(format!("there is no way to {address}: {error}")))
}

/// Each person has a connection for signalling, and towards other machines a socket for media.
fn check_descriptors(plan: &Plan) -> Result<(), Failure> {
    let each = if plan.local == Local::Loopback { 1 } else { 2 };
    let needed = plan.people() * each + SPARE_DESCRIPTORS;
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let allowed = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<usize>().ok());
    match allowed {
        Some(allowed) if allowed < needed => Err(Failure::start(format!(
            "{} people need {needed} open files, and {allowed} are allowed here; run ulimit -n {needed} first",
            plan.people()
        ))),
        _ => Ok(()),
    }
}

fn write(file: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(file, text).map_err(|error| cannot_write(file, &error))
}

fn cannot_write(file: &Path, error: &io::Error) -> Failure {
    Failure::start(format!("{} cannot be written: {error}", file.display()))
}

/// Where lines about each person go.
struct PeopleLog(Box<dyn io::Write + Send>);

impl PeopleLog {
    fn open(file: &Path) -> Result<Self, Failure> {
        if file == Path::new("-") {
            return Ok(Self(Box::new(io::stdout())));
        }
        let open = File::create(file).map_err(|error| cannot_write(file, &error))?;
        Ok(Self(Box::new(open)))
    }

    /// What reads may go away; the load goes on.
    fn write(&mut self, people: &People) {
        if let Ok(line) = serde_json::to_string(people) {
            let _ = writeln!(self.0, "{line}");
            let _ = self.0.flush();
        }
    }
}

/// One line that is written over on a terminal, and a line now and then elsewhere.
#[derive(Default)]
struct Progress {
    shown: usize,
    /// A line is on the terminal that will be written over.
    open: bool,
}

impl Progress {
    fn show(&mut self, seen: &Sample) {
        let mut error = std::io::stderr().lock();
        // What watches may go away; the load goes on.
        if error.is_terminal() {
            let _ = write!(error, "\r\x1b[K{}", line(seen));
            let _ = error.flush();
            self.open = true;
        } else if self.shown.is_multiple_of(QUIET) {
            let _ = writeln!(error, "{}", line(seen));
        }
        self.shown += 1;
    }

    fn end(&mut self) {
        if self.open {
            let _ = writeln!(std::io::stderr());
        }
    }
}

fn line(seen: &Sample) -> String {
    let trouble = match seen.failures {
        0 => String::new(),
        failures => format!("  failures {failures}"),
    };
    format!(
        "{:>5.0} s  {}/{} connected  {:.0} packets/s  {:.1} Mbit/s  lost {:.2} %  delay p50 {:.1} p99 {:.1} ms{trouble}",
        seen.at,
        seen.connected,
        seen.planned,
        seen.received_rate,
        seen.received_bits / 1e6,
        seen.loss * 100.0,
        seen.frame_delay.p50,
        seen.frame_delay.p99,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_read_in_the_forms_people_write() {
        let read = |server: &str| {
            let (host, address) = resolve(server).map_err(|failure| failure.to_string())?;
            Ok::<_, String>((host, address.to_string()))
        };
        let is = |server: &str, host: &str, address: &str| {
            assert_eq!(read(server), Ok((host.to_owned(), address.to_owned())));
        };
        is("127.0.0.1", "127.0.0.1", "127.0.0.1:443");
        is("127.0.0.1:8443", "127.0.0.1", "127.0.0.1:8443");
        is("https://127.0.0.1:8443/", "127.0.0.1", "127.0.0.1:8443");
        is("::1", "::1", "[::1]:443");
        is("[::1]:8443", "::1", "[::1]:8443");
        assert!(read("127.0.0.1:http").unwrap_err().contains("HOST:PORT"));
    }
}
