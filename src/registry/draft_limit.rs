//! Where a caller sees drafts.

use crate::domain::ids::OwnerId;
use crate::domain::version_state::VersionState;

/// The versions that a caller sees: versions of at least this state, and all versions of some owners. It is the
/// parameter of [`super::access::shown`].
#[derive(Debug, Clone)]
pub struct DraftLimit {
    pub(super) least: VersionState,
    /// The owners where the caller may publish, and so sees drafts.
    pub(super) writable: Vec<OwnerId>,
}

impl DraftLimit {
    /// Everything but drafts.
    pub(super) fn published() -> Self {
        Self { least: VersionState::Published, writable: Vec::new() }
    }

    /// Drafts too.
    pub(super) fn everything() -> Self {
        Self { least: VersionState::Draft, writable: Vec::new() }
    }

    /// Whether drafts are shown, whoever owns them.
    pub(super) fn is_everything(&self) -> bool {
        self.least == VersionState::Draft
    }
}
