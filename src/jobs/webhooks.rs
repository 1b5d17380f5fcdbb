//! Sends webhook deliveries: takes them from the outbox, signs them, posts them and records the answers.

use super::run_span;
use crate::db::Db;
use crate::domain::clock::Clock;
use crate::domain::digest::to_hex;
use crate::domain::secret::MasterKey;
use crate::domain::webhook::HookContent;
use crate::error::Result;
use crate::outbound::Outbound;
use crate::registry::webhooks::delivery_queue::{self, LeasedHook, Message, Outcome};
use crate::registry::webhooks::outbox;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use sha1::Sha1;
use sha2::Sha256;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tracing::Instrument;

/// How many requests run at once.
const SLOTS: usize = 32;
/// Rows that are deleted together.
const BATCH: i64 = 1000;
/// The characters that a form leaves as they are; a space becomes a plus.
const FORM: &AsciiSet = &NON_ALPHANUMERIC.remove(b'*').remove(b'-').remove(b'.').remove(b'_').remove(b' ');

/// Everything that is needed to send.
#[derive(Clone)]
pub struct WebhookSender {
    pub db: Db,
    pub outbound: Arc<Outbound>,
    pub clock: Clock,
    pub key: MasterKey,
    /// The site's own address, for links; empty when it is not known.
    pub root: String,
}

impl WebhookSender {
    /// Takes one delivery that is due.
    async fn take(&self) -> Result<Option<LeasedHook>> {
        let (key, server, now) = (self.key.clone(), self.db.server_id(), self.clock.now());
        self.db.write(move |conn| delivery_queue::take(conn, (&key, server), now)).await
    }

    /// Starts to send deliveries that are due, up to the number of free slots; false when the database is unavailable.
    async fn fill(&self, under_way: &mut JoinSet<()>) -> bool {
        while under_way.len() < SLOTS {
            match self.take().await {
                Ok(Some(leased)) => {
                    let sender = self.clone();
                    under_way.spawn(async move { sender.deliver(leased).await }.in_current_span());
                }
                Ok(None) => return true,
                Err(error) => {
                    tracing::warn!(
                        error = format!("{:#}", error.explained()),
                        "could not take webhook deliveries; trying again later"
                    );
                    return false;
                }
            }
        }
        true
    }

    /// Sends everything that is due now, and waits for the answers.
    pub async fn run(&self) {
        let mut under_way = JoinSet::new();
        while self.fill(&mut under_way).instrument(run_span("webhooks")).await {
            // A finished delivery may leave the next one of its webhook to be sent.
            if under_way.join_next().await.is_none() {
                return;
            }
        }
        while under_way.join_next().await.is_some() {}
    }

    /// Sends forever. It checks for due deliveries each time the period is over and after each answer. Canceling it
    /// cuts the running requests, which another server or the next start sends again.
    pub async fn serve(&self, every: Duration) {
        let mut ticks = tokio::time::interval(every);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut under_way = JoinSet::new();
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                Some(_) = under_way.join_next() => {}
            }
            self.fill(&mut under_way).instrument(run_span("webhooks")).await;
        }
    }

    async fn deliver(&self, leased: LeasedHook) {
        let (at, begun) = (self.clock.now(), Instant::now());
        let (headers, sent) = match &leased.message {
            Ok(message) => self.send(&leased, message).await,
            Err(error) => {
                let (hook, delivery) = (leased.hook, leased.delivery);
                tracing::error!(?error, %hook, %delivery, "could not read a webhook delivery");
                (Vec::new(), Err("this server cannot read the delivery: ask its administrator".to_owned()))
            }
        };
        let (status, headers_back, body, problem) = match sent {
            Ok(answer) => (Some(answer.status), answer.headers, answer.body, answer.cut.unwrap_or_default()),
            Err(problem) => (None, Vec::new(), Vec::new(), problem),
        };
        let outcome = Outcome {
            at,
            duration: begun.elapsed(),
            request_headers: pairs(&headers),
            status,
            response_headers: pairs(&headers_back),
            response_body: text(&body),
            error: match status {
                Some(status) if problem.is_empty() && !(200..300).contains(&status) => {
                    format!("the receiver answered {status}")
                }
                _ => problem,
            },
        };
        let kind = if outcome.is_delivered() { "delivered" } else { "failed" };
        metrics::counter!("packhouse_webhook_attempts_total", "outcome" => kind).increment(1);
        let (hook, delivery, attempt) = (leased.hook, leased.delivery, leased.number);
        tracing::debug!(%hook, %delivery, attempt, status, "called a webhook");
        let (clock, hook) = (self.clock.clone(), leased.hook);
        let settled = self.db.write(move |conn| delivery_queue::settle(conn, &leased, &outcome, clock.now())).await;
        if let Err(error) = settled {
            // The webhook is free again when its lease expires, and the delivery is sent once more.
            tracing::warn!(%error, %hook, "could not record a webhook receiver's answer");
        }
    }

    /// Sends a delivery; returns the request's headers, without secrets, and the result.
    async fn send(
        &self,
        leased: &LeasedHook,
        message: &Message,
    ) -> (Vec<(String, String)>, std::result::Result<crate::outbound::Answer, String>) {
        let payload = match message.facts.payload(leased.action, &self.root) {
            Ok(payload) => payload,
            Err(error) => return (Vec::new(), Err(error.to_string())),
        };
        let (content_type, body) = match leased.content {
            HookContent::Json => ("application/json", payload.clone()),
            HookContent::Form => {
                let payload = utf8_percent_encode(&payload, FORM).to_string().replace(' ', "+");
                ("application/x-www-form-urlencoded", format!("payload={payload}"))
            }
        };
        let secret = message.secret.as_ref().map(|secret| secret.reveal());
        let mut headers = head(leased, content_type);
        headers.extend(signatures(secret, &payload));
        headers.extend(standard(leased, secret, &body, self.clock.now().unix()));
        let mut shown = headers.clone();
        if let Some(authorization) = &message.authorization {
            headers.push(("authorization".to_owned(), authorization.reveal().to_owned()));
            shown.push(("authorization".to_owned(), "******".to_owned()));
        }
        let sent = self.outbound.post(leased.url.as_str(), &headers, body.into_bytes()).await;
        (shown, sent.map_err(|failure| failure.to_string()))
    }
}

fn field(name: &str, value: impl Into<String>) -> (String, String) {
    (name.to_owned(), value.into())
}

/// Gitea's headers, under its own name and under the names it keeps for receivers that were made for other servers.
fn head(leased: &LeasedHook, content_type: &str) -> Vec<(String, String)> {
    let id = leased.uuid.to_string();
    let mut head = vec![
        field("content-type", content_type),
        field("user-agent", concat!("Packhouse/", env!("CARGO_PKG_VERSION"))),
    ];
    for family in ["gitea", "gogs", "github"] {
        head.push(field(&format!("x-{family}-delivery"), &*id));
        head.push(field(&format!("x-{family}-event"), "package"));
        head.push(field(&format!("x-{family}-event-type"), "package"));
    }
    for family in ["gitea", "github"] {
        head.push(field(&format!("x-{family}-hook-installation-target-type"), leased.owner_kind.as_str()));
    }
    head
}

/// Gitea's signatures, always of the payload, even when the payload is a form field. Without a secret the headers are
/// present and empty.
fn signatures(secret: Option<&str>, payload: &str) -> Vec<(String, String)> {
    let sign = |secret: &str| (hmac_sha256(secret.as_bytes(), &[payload.as_bytes()]), hmac_sha1(secret, payload));
    let (sha256, sha1) = secret.map(sign).map(|(a, b)| (to_hex(&a), to_hex(&b))).unwrap_or_default();
    vec![
        field("x-gitea-signature", &*sha256),
        field("x-gogs-signature", &*sha256),
        field("x-hub-signature", format!("sha1={sha1}")),
        field("x-hub-signature-256", format!("sha256={sha256}")),
    ]
}

/// The headers of Standard Webhooks 1.0, which sign the body as it is sent, with its id and its time.
fn standard(leased: &LeasedHook, secret: Option<&str>, body: &str, now: i64) -> Vec<(String, String)> {
    let (id, time) = (leased.uuid.to_string(), now.to_string());
    let mut fields = vec![field("webhook-id", &*id), field("webhook-timestamp", &*time)];
    if let Some(secret) = secret {
        let signed = hmac_sha256(&standard_key(secret), &[id.as_bytes(), b".", time.as_bytes(), b".", body.as_bytes()]);
        fields.push(field("webhook-signature", format!("v1,{}", STANDARD.encode(signed))));
    }
    fields
}

/// A secret in that specification's format, `whsec_` and Base64, is decoded to its key; any other secret is used as its
/// bytes.
fn standard_key(secret: &str) -> Vec<u8> {
    let encoded = secret.strip_prefix("whsec_").and_then(|rest| STANDARD.decode(rest).ok());
    encoded.unwrap_or_else(|| secret.as_bytes().to_vec())
}

fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    // HMAC accepts a key of any length, so this never fails.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return Vec::new() };
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().to_vec()
}

fn hmac_sha1(key: &str, payload: &str) -> Vec<u8> {
    let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(key.as_bytes()) else { return Vec::new() };
    mac.update(payload.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn pairs(fields: &[(String, String)]) -> Value {
    fields.iter().map(|(name, value)| json!([clean(name), clean(value)])).collect()
}

/// A body as text. Invalid UTF-8 and NUL, which Postgres rejects, are replaced.
fn text(body: &[u8]) -> String {
    clean(&String::from_utf8_lossy(body))
}

fn clean(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// Deletes deliveries older than `keep`.
///
/// # Errors
/// Database errors.
pub async fn forget(db: &Db, clock: &Clock, keep: Duration) -> Result<()> {
    let before = clock.now().minus(keep);
    while db.write(move |conn| outbox::forget_old(conn, before, BATCH)).await? > 0 {}
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn webhook_signatures_match_the_example_of_the_specification() {
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let signed = [&b"msg_p5jXN8AQM9LWM0D4loKWxJek"[..], b".", b"1614265330", b".", br#"{"test": 2432232314}"#];
        let signature = STANDARD.encode(hmac_sha256(&standard_key(secret), &signed));
        assert_eq!(signature, "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert_eq!(standard_key("plain"), b"plain");
        assert_eq!(standard_key("whsec_!"), b"whsec_!");
        assert_eq!(
            to_hex(&hmac_sha256(b"Jefe", &[b"what do ya want ", b"for nothing?"])),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        assert_eq!(
            to_hex(&hmac_sha1("Jefe", "what do ya want for nothing?")),
            "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"
        );
    }
}
