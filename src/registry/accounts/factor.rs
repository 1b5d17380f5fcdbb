//! The kinds of two-factor proof, and the error for an account without two-factor authentication.

use crate::error::Error;

/// How somebody proved their second factor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Factor {
    Totp,
    RecoveryCode,
    Passkey,
}

impl Factor {
    /// The word used in the audit log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Totp => "totp",
            Self::RecoveryCode => "recovery_code",
            Self::Passkey => "passkey",
        }
    }
}

/// The error for an account without two-factor authentication.
pub(super) fn no_factor() -> Error {
    Error::Blocked("two-factor authentication is off".to_owned())
}
