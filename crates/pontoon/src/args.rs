//! The command line.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};

/// Video meetings that speak Jitsi's protocols, in one binary.
#[derive(Debug, Parser)]
#[command(
    name = "pontoon",
    version,
    about,
    max_term_width = 100,
    args_override_self = true
)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) settings: SettingArgs,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run everything on this machine: web, signalling, focus and bridge.
    Up,
    /// Run web, signalling and focus; bridges join from other machines.
    Meet,
    /// Run a bridge that joins meet nodes.
    Bridge,
    /// Credentials of bridges: on the meet node's machine, with its state directory.
    Token {
        #[command(subcommand)]
        action: TokenAction,
    },
    /// Put load on a server: meetings of synthetic people who come, speak and go, and what they see of it.
    Load(LoadArgs),
    /// What the pontoon that runs on this machine knows: its bridges and its meetings, and why they are where they are.
    Status {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Make a bridge become empty: its meetings move to others, then it ends.
    Drain {
        /// Name of the bridge, on a meet node; the bridge on this machine when absent.
        bridge: Option<String>,
        /// It does not end when it is empty, and gets no meetings until "--off".
        #[arg(long)]
        stay: bool,
        /// Take it back.
        #[arg(long, conflicts_with = "stay")]
        off: bool,
    },
    /// Have the pontoon that runs on this machine, or a bridge of a meet node, started again by the service manager.
    Restart {
        /// Name of the bridge, on a meet node: it is emptied first. The process on this machine when absent.
        bridge: Option<String>,
        /// Not before no meeting is under way: a bridge hands its meetings over, the others wait for their end.
        #[arg(long)]
        when_empty: bool,
    },
    /// Move a meeting to another bridge, on a meet node.
    Move {
        /// The meeting: its name, or the address of its room.
        room: String,
        /// The bridge; the one that would be chosen when absent.
        #[arg(long, value_name = "BRIDGE")]
        to: Option<String>,
    },
    /// Read the configuration, say what is wrong, and start nothing.
    Check,
    /// Print the reference of all settings.
    Reference {
        /// In which form.
        #[arg(long, value_enum, default_value_t = Form::Markdown)]
        form: Form,
    },
}

/// What to do with credentials of bridges. A running meet node takes it up within a second.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenAction {
    /// Make a credential for one bridge and print the command to run on its machine; made again, the old one is void.
    Bridge {
        /// Name of the bridge's account; made up when absent.
        name: Option<String>,
    },
    /// Print the command with which any number of new bridges join, each getting a credential of its own.
    Join {
        /// Make the token anew: the old one is void, bridges that have joined stay.
        #[arg(long)]
        new: bool,
    },
    /// List the bridges that have a credential.
    List,
    /// Take a bridge's credential away; its stream ends. "join" makes the token for new bridges anew.
    Revoke {
        /// Name of the account.
        name: String,
    },
}

/// What load to put on a server.
#[derive(Debug, ClapArgs)]
pub(crate) struct LoadArgs {
    /// The server: name or address of its HTTPS, with a port where it is not 443.
    #[arg(default_value = "127.0.0.1", value_name = "HOST[:PORT]")]
    pub(crate) server: String,
    /// The server is another machine than this one, or its bridges are, and whoever runs it has agreed to this.
    #[arg(long)]
    pub(crate) i_am_allowed_to: bool,
    /// Rooms are called NAME-0, NAME-1 and so on.
    #[arg(long, default_value = "load", value_name = "NAME")]
    pub(crate) room: String,
    /// Meetings at one time.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) rooms: usize,
    /// People in each meeting who send and receive.
    #[arg(long, default_value_t = 2, value_name = "N")]
    pub(crate) senders: usize,
    /// People in each meeting who only receive.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) receivers: usize,
    /// Simulcast layers of each camera: 0 for no camera, 1 for 720p alone, 3 for 180p, 360p and 720p.
    #[arg(long, default_value_t = 3, value_name = "N")]
    pub(crate) layers: usize,
    /// Frames a second.
    #[arg(long, default_value_t = 30, value_name = "N")]
    pub(crate) frame_rate: u32,
    /// Senders have no microphone.
    #[arg(long)]
    pub(crate) no_audio: bool,
    /// How people arrange the pictures.
    #[arg(long, value_enum, default_value_t = LoadLayout::Stage)]
    pub(crate) layout: LoadLayout,
    /// Height of the largest pictures, pixels.
    #[arg(long, default_value_t = 720, value_name = "PIXELS")]
    pub(crate) height: i32,
    /// Pictures that each person wants at most; -1 for all.
    #[arg(long, default_value_t = -1, value_name = "N", allow_negative_numbers = true)]
    pub(crate) last_n: i32,
    /// Joins a second at the beginning.
    #[arg(long, default_value_t = 10.0, value_name = "N")]
    pub(crate) ramp: f64,
    /// People a second who leave and are followed by others, once all are there.
    #[arg(long, default_value_t = 0.0, value_name = "N")]
    pub(crate) churn: f64,
    /// Seconds until somebody else speaks in each meeting; 0 for never.
    #[arg(long, default_value_t = 10, value_name = "SECONDS")]
    pub(crate) speaker_change: u64,
    /// Seconds to go on once all are there.
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    pub(crate) duration: u64,
    /// Threads for media.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) threads: usize,
    /// Nine in ten receivers only count packets and report them, without decrypting: one processor then receives as much as a
    /// bridge sends. Of these, frames, delays and pauses are not known.
    #[arg(long)]
    pub(crate) count: bool,
    /// The same number makes the same decisions.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) seed: u64,
    /// Write a line of JSON here each second, with what each person gets and how long it stood still; - for standard
    /// output.
    #[arg(long, value_name = "FILE")]
    pub(crate) people: Option<PathBuf>,
    /// Write the report here, as JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Write the report here, as a page with charts.
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
}

/// How synthetic people arrange the pictures.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum LoadLayout {
    /// The speaker large, the others in 180p.
    Stage,
    /// All alike.
    Tiles,
    /// No pictures.
    None,
}

/// Forms of the reference.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Form {
    /// A page to read.
    Markdown,
    /// A configuration file with every key commented out.
    Toml,
    /// A JSON schema of the file.
    Schema,
}

/// Settings given on the command line; they win over environment and file.
#[derive(Debug, Default, ClapArgs)]
pub(crate) struct SettingArgs {
    /// The configuration file; given several times, each wins over those before it.
    #[arg(long, global = true, value_name = "FILE", env = "PONTOON_CONFIG")]
    pub(crate) config: Vec<PathBuf>,
    /// Set any key: --set front.hsts=true.
    #[arg(long, global = true, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// The XMPP domain.
    #[arg(long, global = true, value_name = "NAME")]
    domain: Option<String>,
    /// Where certificates and secrets are kept.
    #[arg(long, global = true, value_name = "DIR")]
    state_dir: Option<String>,
    /// What is logged: a level, or levels by part (info,focus=debug).
    #[arg(long, global = true, value_name = "FILTER")]
    log: Option<String>,
    /// Port (or address:port) of HTTPS; "off" behind a proxy that ends TLS.
    #[arg(long, global = true, value_name = "PORT")]
    https: Option<String>,
    /// Port of plain HTTP, which redirects to HTTPS; "off" for none.
    #[arg(long, global = true, value_name = "PORT")]
    http: Option<String>,
    /// Port of XMPP for bridges; "off" for none.
    #[arg(long, global = true, value_name = "PORT")]
    xmpp: Option<String>,
    /// Port of media.
    #[arg(long, global = true, value_name = "PORT")]
    udp: Option<String>,
    /// Certificate chain, PEM.
    #[arg(long, global = true, value_name = "FILE")]
    certificate: Option<String>,
    /// Private key of the certificate, PEM.
    #[arg(long, global = true, value_name = "FILE")]
    key: Option<String>,
    /// An unpacked jitsi-meet web tree to serve instead of the built-in client.
    #[arg(long, global = true, value_name = "DIR")]
    web_root: Option<String>,
    /// Addresses told to clients for media instead of the machine's own, separated by commas; "own" among them adds
    /// those.
    #[arg(long, global = true, value_name = "ADDRESSES")]
    advertise: Option<String>,
    /// Join token of a meet node, as it prints it. Others on this machine can read it here; see --join-file.
    #[arg(long, global = true, value_name = "TOKEN")]
    join: Option<String>,
    /// File with join tokens, one a line.
    #[arg(long, global = true, value_name = "FILE")]
    join_file: Option<String>,
}

impl SettingArgs {
    /// The short options that were given: as typed, the key they stand for, the value.
    pub(crate) fn short(&self) -> impl Iterator<Item = (&'static str, &'static str, &str)> {
        [
            ("--domain", "domain", &self.domain),
            ("--state-dir", "state_dir", &self.state_dir),
            ("--log", "log.filter", &self.log),
            ("--https", "front.https", &self.https),
            ("--http", "front.http", &self.http),
            ("--xmpp", "signalling.listen", &self.xmpp),
            ("--udp", "bridge.udp", &self.udp),
            ("--certificate", "front.certificate", &self.certificate),
            ("--key", "front.key", &self.key),
            ("--web-root", "front.web_root", &self.web_root),
            ("--advertise", "bridge.advertise", &self.advertise),
            ("--join", "bridge.join", &self.join),
            ("--join-file", "bridge.join_file", &self.join_file),
        ]
        .into_iter()
        .filter_map(|(flag, key, value)| Some((flag, key, value.as_deref()?)))
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::Args;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn short_options_stand_for_keys_that_exist() {
        use clap::Parser as _;
        let args = Args::parse_from(["pontoon", "up", "--https", "1", "--join", "t", "--udp", "2"]);
        let short: Vec<_> = args.settings.short().collect();
        assert_eq!(
            short,
            [
                ("--https", "front.https", "1"),
                ("--udp", "bridge.udp", "2"),
                ("--join", "bridge.join", "t")
            ]
        );
        for (_flag, key, _value) in short {
            assert!(config::find(key).is_some(), "{key}");
        }
    }
}
