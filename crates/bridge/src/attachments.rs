//! The attachments of a bridge to its signalling nodes, which may come and go while it runs.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::attachment;
use crate::config::NodeConfig;
use crate::shared::Shared;
use crate::standing::Keeping;

/// One task for each node.
pub(crate) struct Attachments {
    shared: Arc<Shared>,
    presence_interval: Duration,
    tasks: JoinSet<()>,
    nodes: Vec<Node>,
}

struct Node {
    config: NodeConfig,
    /// Dropped or true: the attachment ends in order.
    stop: watch::Sender<bool>,
}

impl Attachments {
    pub(crate) fn new(shared: Arc<Shared>, presence_interval: Duration) -> Self {
        Self {
            shared,
            presence_interval,
            tasks: JoinSet::new(),
            nodes: Vec::new(),
        }
    }

    /// Whether there is no node.
    pub(crate) fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Attaches to the nodes that are new and leaves those that are not among them.
    pub(crate) fn set(&mut self, nodes: Vec<NodeConfig>) {
        // What has ended needs no place.
        while self.tasks.try_join_next().is_some() {}
        self.nodes.retain(|node| {
            let stays = nodes.iter().any(|other| other.is_same(&node.config));
            if !stays {
                tracing::info!(node = %node.config.target, "leaving a signalling node");
                let _ = node.stop.send(true);
            }
            stays
        });
        for config in nodes {
            if self.nodes.iter().any(|node| node.config.is_same(&config)) {
                continue;
            }
            let (stop, stopped) = watch::channel(false);
            let task = attachment::run(
                config.clone(),
                self.shared.clone(),
                Keeping::new(self.shared.standings.clone(), config.target.to_string()),
                self.presence_interval,
                stopped,
            );
            self.tasks.spawn(task);
            self.nodes.push(Node { config, stop });
        }
    }

    /// Leaves all nodes; returns when that is done.
    pub(crate) async fn leave(&mut self) {
        self.set(Vec::new());
        while self.tasks.join_next().await.is_some() {}
    }
}
