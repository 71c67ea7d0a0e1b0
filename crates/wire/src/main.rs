//! The network model between two TAP devices: `wire NEAR FAR` makes both and carries frames between them through two
//! links of `sim`, by a real clock, until its standard input ends.
//!
//! Each line of standard input is an object that may have `down` (from NEAR to FAR) and `up`, each with what the link
//! does from now on; each is answered by a line that says what became of the frames so far:
//!
//! ```text
//! {"down":{"rate":700000,"queue_ms":250,"delay_ms":20,"jitter_ms":0,"loss":0.05,"burst":1}}
//! {"down":{"sent":10,"dropped":0,"lost":1,"bytes":9000},"up":{…}}
//! ```
//!
//! Kernels without their own emulation of networks (netem) need no more than TAP devices for it.

mod direction;
mod spec;
mod tap;

use std::io::{BufRead as _, Write as _};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};

use direction::Direction;
use spec::Order;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [near, far] = arguments.as_slice() else {
        bail!("usage: wire NEAR FAR");
    };
    let (near, far) = (Arc::new(tap::open(near)?), Arc::new(tap::open(far)?));
    let down = Direction::start(near.clone(), far.clone(), 1);
    let up = Direction::start(far, near, 2);
    let mut answers = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let order: Order =
            serde_json::from_str(&line).with_context(|| format!("not an order: {line}"))?;
        if let Some(spec) = order.down {
            down.set(spec.link());
        }
        if let Some(spec) = order.up {
            up.set(spec.link());
        }
        let (down, up) = (down.stats(), up.stats());
        writeln!(
            answers,
            "{}",
            serde_json::json!({ "down": spec::counts(down), "up": spec::counts(up) })
        )?;
        answers.flush()?;
    }
    Ok(())
}
