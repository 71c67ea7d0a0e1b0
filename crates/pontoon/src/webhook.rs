//! Posts to `focus.webhook` what whoever adds and removes bridges should hear of.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

use axum::body::Body;
use config::WebhookSettings;
use focus::Figures;
use hyper::{Request, header};
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use telemetry::Metrics;
use telemetry::prometheus_client::metrics::counter::Counter;
use telemetry::prometheus_client::metrics::family::Family;

use crate::failure::Failure;
use crate::scaling::{Limits, Watch, message};

/// How often it is looked what is new.
const LOOK: Duration = Duration::from_secs(1);
/// How long the receiver may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pause after a post that failed: at first, and at most.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// News that may wait for a receiver that does not answer; of more, the oldest are left out.
const WAITING: usize = 256;

type Sender = Client<HttpsConnector<HttpConnector>, Body>;
type Posts = Family<Vec<(String, String)>, Counter>;

struct Webhook {
    settings: WebhookSettings,
    domain: String,
    sender: Sender,
    posts: Posts,
}

/// Begins to look and to post.
pub(crate) fn spawn(
    settings: &WebhookSettings,
    domain: &str,
    metrics: &Metrics,
    figures: impl Fn() -> Figures + Send + 'static,
) -> Result<(), Failure> {
    let refused = |why: &dyn std::fmt::Display| {
        Failure::start(format!("focus.webhook: {}: {why}", settings.url))
    };
    settings
        .url
        .parse::<hyper::Uri>()
        .map_err(|error| refused(&error))?;
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.try_with_platform_verifier())
        .map_err(|error| refused(&error))?
        .with_no_client_auth();
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http1()
        .build();
    let posts = Posts::default();
    metrics.register(|r| {
        r.register(
            "webhook_posts",
            "What was posted to focus.webhook, by what became of it",
            posts.clone(),
        );
    });
    let webhook = Webhook {
        settings: settings.clone(),
        domain: domain.to_owned(),
        sender: Client::builder(TokioExecutor::new()).build(connector),
        posts,
    };
    tokio::spawn(webhook.run(figures));
    Ok(())
}

impl Webhook {
    async fn run(self, figures: impl Fn() -> Figures) {
        let limits = Limits {
            high: self.settings.high,
            low: self.settings.low,
        };
        let mut watch = Watch::default();
        let mut waiting: VecDeque<String> = VecDeque::new();
        let mut pause = PAUSE.0;
        let mut rest = Duration::ZERO;
        loop {
            tokio::time::sleep(LOOK).await;
            let now = figures();
            for news in watch.look(&now, limits) {
                tracing::info!(
                    what = news.what,
                    bridge = news.bridge,
                    "posted to the webhook"
                );
                if waiting.len() >= WAITING {
                    waiting.pop_front();
                    self.count("left-out");
                }
                waiting.push_back(message(&news, &now, &self.domain, wall()).to_string());
            }
            rest = rest.saturating_sub(LOOK);
            while let Some(text) = waiting.front().filter(|_| rest.is_zero()) {
                match self.post(text).await {
                    Ok(()) => {
                        waiting.pop_front();
                        pause = PAUSE.0;
                        self.count("taken");
                    }
                    Err(why) => {
                        tracing::warn!("focus.webhook was told nothing: {why}; trying again");
                        self.count("failed");
                        rest = pause;
                        pause = (pause * 2).min(PAUSE.1);
                    }
                }
            }
        }
    }

    fn count(&self, result: &str) {
        let label = vec![("result".to_owned(), result.to_owned())];
        self.posts.get_or_create(&label).inc();
    }

    async fn post(&self, text: &str) -> Result<(), String> {
        let mut request = Request::post(&self.settings.url)
            .header(header::CONTENT_TYPE, "application/json")
            .header(
                header::USER_AGENT,
                concat!("pontoon/", env!("CARGO_PKG_VERSION")),
            );
        if let Some(token) = &self.settings.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", token.expose()));
        }
        let request = request
            .body(Body::from(text.to_owned()))
            .map_err(|error| error.to_string())?;
        let answer = tokio::time::timeout(PATIENCE, self.sender.request(request)).await;
        match answer {
            Ok(Ok(answer)) if answer.status().is_success() => Ok(()),
            Ok(Ok(answer)) => Err(format!("it answers {}", answer.status())),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_elapsed) => Err("it does not answer".to_owned()),
        }
    }
}

/// Milliseconds since 1970.
fn wall() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}
