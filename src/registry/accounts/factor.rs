//! The second factor that somebody shows, by its kind, and the error of whoever has none.

use crate::error::Error;

/// By what somebody showed his second factor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Factor {
    Totp,
    RecoveryCode,
}

impl Factor {
    /// Its word, for the record.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Totp => "totp",
            Self::RecoveryCode => "recovery_code",
        }
    }
}

/// What is said where there is none.
pub(super) fn no_factor() -> Error {
    Error::Blocked("two-factor authentication is off".to_owned())
}
