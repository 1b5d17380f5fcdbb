//! Trusted publishers: whose identity tokens may publish which packages of an owner, without a stored secret.
//!
//! A publisher is an account like a robot, named `owner/publisher`, so files and audit records show who published. It has
//! no other credential than tokens of a few minutes, which a job gets for an identity token of its system. Such a token
//! can write to the publisher's packages and do nothing else, and it ends with the publisher.

mod exchange;
mod manage;
mod publisher;

pub(in crate::registry) use exchange::end_tokens;
pub use exchange::{
    Exchanged, IdentityToken, TOKEN_LIFE, TOKEN_SCOPE, WantedPublisher, exchange, forget_old, is_named, no_publisher,
    shown, subject,
};
pub use manage::{NewPublisher, PublisherEdit, create, delete, update};
pub use publisher::{Publisher, find, list};
