//! The pontoon command: reads the configuration, opens the ports, builds the parts, runs them, ends them in order.
#![allow(clippy::disallowed_methods, reason = "the command reads the clock")]

mod accounts;
mod args;
mod bridge_cmd;
mod check;
mod control;
mod failure;
mod keeper;
mod load;
mod load_cmd;
mod media_tcp;
mod meet;
mod parts;
mod reference;
mod relay;
mod relief;
mod restart;
mod say;
mod scaling;
mod service;
mod signals;
mod state;
mod status_cmd;
mod token_cmd;
mod up;
mod webhook;
mod wellbeing;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;

use crate::args::{Args, Command};
use crate::failure::Failure;

fn main() -> ExitCode {
    let started = std::time::Instant::now();
    let args = Args::parse();
    match run(args, started) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Nobody is left to be told when that fails.
            let _ = write!(std::io::stderr(), "{failure}");
            ExitCode::from(failure.code())
        }
    }
}

fn run(args: Args, started: std::time::Instant) -> Result<(), Failure> {
    match args.command {
        Command::Reference { form } => reference::print(form),
        Command::Check => check::run(&args.settings),
        Command::Token { action } => token_cmd::run(&load::settings(&args.settings)?, action),
        Command::Load(load) => {
            let domain = load::settings(&args.settings)?.domain;
            on_runtime(load_cmd::run(load, domain))
        }
        Command::Status { json } => {
            let settings = load::settings(&args.settings)?;
            on_runtime(async move { status_cmd::status(&settings, json).await })
        }
        Command::Drain { bridge, stay, off } => {
            let settings = load::settings(&args.settings)?;
            on_runtime(async move {
                status_cmd::drain(&settings, bridge.as_deref(), !off, !off && !stay).await
            })
        }
        Command::Restart { bridge, when_empty } => {
            let settings = load::settings(&args.settings)?;
            on_runtime(async move {
                status_cmd::restart(&settings, bridge.as_deref(), when_empty).await
            })
        }
        Command::Move { room, to } => {
            let settings = load::settings(&args.settings)?;
            on_runtime(
                async move { status_cmd::move_meeting(&settings, &room, to.as_deref()).await },
            )
        }
        Command::Up => on_runtime(up::run(load::settings(&args.settings)?, started)),
        Command::Meet => on_runtime(meet::run(load::settings(&args.settings)?, started)),
        Command::Bridge => on_runtime(bridge_cmd::run(load::settings(&args.settings)?, started)),
    }
}

fn on_runtime(future: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("host")
        .build()
        .map_err(|error| Failure::start(format!("cannot start threads: {error}")))?;
    let result = runtime.block_on(future);
    // Whatever still runs has had its time.
    runtime.shutdown_background();
    result
}
