//! The connection to a bucket: settings, credentials, retries, and errors in words.

use std::io;
use std::time::Duration;

use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey, Checksum};
use object_store::client::HttpClient;
use object_store::{BackoffConfig, ClientOptions, RetryConfig};

use crate::config::StoreConfig;
use crate::outbound::BucketClient;
use crate::storage::error::StoreError;

/// How many more attempts follow one that failed quickly.
const RETRIES: usize = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// A client with retries and one without.
pub(super) struct Connection {
    pub(super) objects: AmazonS3,
    pub(super) once: AmazonS3,
    pub(super) http: HttpClient,
}

pub(super) fn connect(config: &StoreConfig) -> Result<Connection, StoreError> {
    let uses_tls = !config.endpoint.starts_with("http://");
    let patience = Duration::from_secs(config.timeout_seconds);
    let client = BucketClient::new(patience, uses_tls).map_err(|error| StoreError::Away(io::Error::other(error)))?;
    let http = client.http();
    let build = |max_retries| {
        let retry = RetryConfig {
            backoff: BackoffConfig { init_backoff: FIRST_PAUSE, max_backoff: LONGEST_PAUSE, base: 2.0 },
            max_retries,
            // An attempt that had to wait for an answer is repeated once.
            retry_timeout: patience.mul_f32(1.5),
        };
        builder(config).with_retry(retry).with_http_connector(client.clone()).build().map_err(|error| away(&error))
    };
    Ok(Connection { objects: build(RETRIES)?, once: build(0)?, http })
}

fn builder(config: &StoreConfig) -> AmazonS3Builder {
    let mut builder = match config.access_key_id.is_empty() {
        // AWS's variables, the role of a container, or the role of the machine.
        true => AmazonS3Builder::from_env(),
        false => AmazonS3Builder::new()
            .with_access_key_id(config.access_key_id.reveal())
            .with_secret_access_key(config.secret_access_key.reveal()),
    };
    builder = builder
        .with_bucket_name(&config.bucket)
        .with_region(&config.region)
        .with_virtual_hosted_style_request(!config.path_style)
        // Without TLS, the signature of the bytes is all that protects them.
        .with_unsigned_payload(false)
        .with_client_options(ClientOptions::new().with_allow_http(true))
        .with_allow_http(true)
        .with_checksum_algorithm(Checksum::SHA256);
    if !config.endpoint.is_empty() {
        builder = builder.with_endpoint(endpoint(config));
    }
    let (kind, key) = match config.server_side_encryption.strip_prefix("aws:kms:") {
        Some(key) => ("aws:kms", Some(key)),
        None => (config.server_side_encryption.as_str(), None),
    };
    let encryption = [("aws_server_side_encryption", Some(kind)), ("aws_sse_kms_key_id", key)];
    for (name, value) in encryption {
        if let (Ok(name), Some(value)) = (name.parse::<AmazonS3ConfigKey>(), value.filter(|value| !value.is_empty())) {
            builder = builder.with_config(name, value);
        }
    }
    builder
}

/// The endpoint as the library takes it: for addresses with the bucket in the host's name, the bucket is part of it.
fn endpoint(config: &StoreConfig) -> String {
    let endpoint = config.endpoint.trim_end_matches('/');
    match endpoint.split_once("://") {
        Some((scheme, host)) if !config.path_style => format!("{scheme}://{}.{host}", config.bucket),
        _ => endpoint.to_owned(),
    }
}

/// The error for an operation that failed after all attempts.
pub(super) fn away(error: &object_store::Error) -> StoreError {
    let text = error.to_string();
    match code(&text) {
        Some("XMinioStorageFull" | "QuotaExceeded" | "InsufficientStorage") => StoreError::NoSpace,
        Some(code) => StoreError::Away(io::Error::other(format!("the object store answered {}", in_words(code)))),
        // The answer is whatever the other side sent: its first line is enough.
        None => StoreError::Away(io::Error::other(text.lines().next().unwrap_or_default().to_owned())),
    }
}

/// Whether an object is shorter than the requested range, so that the store has no such bytes.
pub(super) fn has_no_such_range(error: &object_store::Error) -> bool {
    code(&error.to_string()) == Some("InvalidRange")
}

/// The code in the XML of an error, such as `SlowDown`.
fn code(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("<Code>")?;
    let (code, _) = rest.split_once("</Code>")?;
    code.bytes().all(|byte| byte.is_ascii_alphanumeric()).then_some(code)
}

fn in_words(code: &str) -> String {
    let remedy = match code {
        "AccessDenied" => "the credentials lack a permission for this bucket",
        "InvalidAccessKeyId" | "SignatureDoesNotMatch" => "check store.access_key_id and store.secret_access_key",
        "ExpiredToken" => "the temporary credentials have expired",
        "RequestTimeTooSkewed" => "the clock of this server is wrong, so its signatures are not valid",
        "NoSuchBucket" => "check store.bucket and store.region",
        _ => return code.to_owned(),
    };
    format!("{code}: {remedy}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_a_bucket_say_what_to_do() {
        let text = "Error: 403 Forbidden: <Error><Code>RequestTimeTooSkewed</Code><Message>x</Message></Error>";
        assert_eq!(code(text), Some("RequestTimeTooSkewed"));
        assert_eq!(
            in_words("RequestTimeTooSkewed"),
            "RequestTimeTooSkewed: the clock of this server is wrong, so its signatures are not valid"
        );
        assert_eq!(in_words("SlowDown"), "SlowDown");
        assert_eq!(code("<Code><b></Code>"), None, "only a plain word is shown");
        assert_eq!(code("no answer"), None);
    }
}
