//! What the request of an upload declares before its body.

use crate::domain::digest::Sha256;
use crate::domain::iso_duration::IsoDuration;
use crate::domain::overwrite::IfMatch;

/// The headers of an upload request, known before its body.
#[derive(Debug, Clone, Default)]
pub struct DeclaredUpload {
    /// Bytes, when known.
    pub length: Option<u64>,
    /// SHA-256, when declared.
    pub sha256: Option<Sha256>,
    /// `If-None-Match: *`.
    pub only_if_absent: bool,
    /// `?draft=true`: a new version becomes a draft, and an existing one must be a draft.
    pub draft: bool,
    /// How long the version lives that the file creates.
    pub expires_in: Option<IsoDuration>,
    /// `If-Match`.
    pub if_match: Option<IfMatch>,
}
